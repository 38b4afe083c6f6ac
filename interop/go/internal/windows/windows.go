// Package windows sets the size of the HTTP/2 windows. grpc-go's default grows them by measuring the connection with
// PINGs, one for nearly every message that it receives, and the grpcfd package panics when it has more fds queued than such
// a PING has bytes: a peer with the default dies of 64 fds every now and then, whatever speaks to it. A set size ends the
// measuring, and with it the chance in the results.
package windows

import "google.golang.org/grpc"

// More than any row needs.
const size = 1 << 20

// ServerOptions are those of a server, none for dynamic windows.
func ServerOptions(dynamic bool) []grpc.ServerOption {
	if dynamic {
		return nil
	}
	return []grpc.ServerOption{grpc.InitialWindowSize(size), grpc.InitialConnWindowSize(size)}
}

// DialOptions are those of a client, none for dynamic windows.
func DialOptions(dynamic bool) []grpc.DialOption {
	if dynamic {
		return nil
	}
	return []grpc.DialOption{grpc.WithInitialWindowSize(size), grpc.WithInitialConnWindowSize(size)}
}
