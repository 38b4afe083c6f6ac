package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// metadataPrinter makes interceptors that print the keys which a handler sees, one line for each call.
func metadataPrinter() []grpc.ServerOption {
	var mutex sync.Mutex
	output := json.NewEncoder(os.Stdout)
	show := func(ctx context.Context) error {
		mutex.Lock()
		defer mutex.Unlock()
		incoming, _ := metadata.FromIncomingContext(ctx)
		return output.Encode(map[string][]string{"metadata": slices.Sorted(maps.Keys(incoming))})
	}
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := show(ctx); err != nil {
				return nil, err
			}
			return handler(ctx, request)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := show(stream.Context()); err != nil {
				return err
			}
			return handler(server, stream)
		}),
	}
}
