// Bench is the Go side of the bench `handoff`: the same calls as those of bench/peers, with the Go package. `bench server
// SOCKET` serves; `bench client SOCKET` reads lines "take|give CALLS FDS AT_A_TIME" and prints the seconds. Both print a line when
// they are ready, and end when their standard input does.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edwarnicke/grpcfd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"grpcfd-interop/internal/windows"
)

const (
	takeMethod = "/grpcfd.bench.Bench/Take"
	giveMethod = "/grpcfd.bench.Bench/Give"
	// What the package carries with one call: it sends at most 64 with a write, and the rest with whatever is written
	// next, even when that has fewer bytes, which is a panic.
	maxFDs = 64
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: bench server|client SOCKET")
	}
	var err error
	if os.Args[1] == "server" {
		err = serve(os.Args[2])
	} else {
		err = call(os.Args[2])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(socket string) error {
	files, err := newPool()
	if err != nil {
		return err
	}
	options := append(windows.ServerOptions(false), grpc.Creds(grpcfd.TransportCredentials(nil)), grpc.ForceServerCodec(codec{}))
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "grpcfd.bench.Bench",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			method("Take", func(ctx context.Context, request []byte) ([]byte, error) {
				transceiver, _ := grpcfd.FromContext(ctx)
				return nil, receive(transceiver, request)
			}),
			method("Give", func(ctx context.Context, request []byte) ([]byte, error) {
				var count, caller int
				if _, err := fmt.Sscan(string(request), &count, &caller); err != nil {
					return nil, err
				}
				if err := grpc.SetHeader(ctx, padding()); err != nil {
					return nil, err
				}
				transceiver, _ := grpcfd.FromContext(ctx)
				return files[caller*count%maxFDs:].send(transceiver, count), nil
			}),
		},
	}, nil)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

func method(name string, handle func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := decode(&request); err != nil {
				return nil, err
			}
			reply, err := handle(ctx, request)
			return &reply, err
		},
	}
}

func call(socket string) error {
	files, err := newPool()
	if err != nil {
		return err
	}
	options := append(windows.DialOptions(false),
		grpc.WithTransportCredentials(grpcfd.TransportCredentials(nil)),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
	)
	cc, err := grpc.NewClient("unix:"+socket, options...)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	fmt.Println("ready")
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var direction string
		var calls, fds, atATime int
		if _, err := fmt.Sscan(input.Text(), &direction, &calls, &fds, &atATime); err != nil {
			return err
		}
		start := time.Now()
		if err := callMany(cc, files, direction, calls, fds, atATime); err != nil {
			return err
		}
		fmt.Printf("%.9f\n", time.Since(start).Seconds())
	}
	return input.Err()
}

// Each caller has files of its own: the package cannot tell apart two that are on their way at a time.
func callMany(cc *grpc.ClientConn, files pool, direction string, calls, fds, atATime int) error {
	var left atomic.Int64
	left.Store(int64(calls))
	results := make(chan error)
	for caller := range atATime {
		go func() {
			own := files[caller*min(fds, maxFDs)%maxFDs:]
			for left.Add(-1) >= 0 {
				for left := fds; left > 0; left -= maxFDs {
					if err := callOnce(cc, own, direction, min(left, maxFDs), caller); err != nil {
						results <- err
						return
					}
				}
			}
			results <- nil
		}()
	}
	var failure error
	for range atATime {
		if err := <-results; err != nil {
			failure = err
		}
	}
	return failure
}

func callOnce(cc *grpc.ClientConn, files pool, direction string, fds, caller int) error {
	creds := grpcfd.PerRPCCredentials(nil)
	transceiver, _ := grpcfd.FromPerRPCCredentials(creds)
	options := []grpc.CallOption{grpc.PerRPCCredentials(creds)}
	var reply []byte
	if direction == "take" {
		request := files.send(transceiver, fds)
		return cc.Invoke(metadata.NewOutgoingContext(context.Background(), padding()), takeMethod, &request, &reply, options...)
	}
	request := []byte(fmt.Sprintf("%d %d", fds, caller))
	if err := cc.Invoke(context.Background(), giveMethod, &request, &reply, options...); err != nil {
		return err
	}
	return receive(transceiver, reply)
}

var padded atomic.Uint64

// Padding makes HEADERS longer than a call has fds. Compressed, they are 16 bytes otherwise, and where they are written
// without the DATA that follows, the package panics. It differs each time, or it would be compressed, too.
func padding() metadata.MD {
	return metadata.Pairs("padding", fmt.Sprintf("%0*d", 4*maxFDs, padded.Add(1)))
}

// The files that are sent, each an inode of its own, and their names.
type pool []struct {
	file *os.File
	url  string
}

func newPool() (pool, error) {
	files := make(pool, maxFDs)
	for i := range files {
		file, err := os.CreateTemp("", "grpcfd-bench-")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(file.Name()); err != nil {
			return nil, err
		}
		url, err := grpcfd.FDToURL(file.Fd())
		if err != nil {
			return nil, err
		}
		files[i].file = file
		files[i].url = url.String()
	}
	return files, nil
}

func (p pool) send(sender grpcfd.FDSender, count int) []byte {
	names := make([]string, count)
	for i := range names {
		sender.SendFD(p[i].file.Fd())
		names[i] = p[i].url
	}
	return []byte(strings.Join(names, "\n"))
}

func receive(recver grpcfd.FDRecver, names []byte) error {
	var waits []<-chan uintptr
	for name := range strings.SplitSeq(string(names), "\n") {
		fds, err := recver.RecvFDByURL(name)
		if err != nil {
			return err
		}
		waits = append(waits, fds)
	}
	for _, fds := range waits {
		if err := syscall.Close(int(<-fds)); err != nil {
			return err
		}
	}
	return nil
}

// Messages are bytes, as in bench/peers/service.ts.
type codec struct{}

func (codec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (codec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (codec) Name() string { return "bytes" }
