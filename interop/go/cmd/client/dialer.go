package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/edwarnicke/grpcfd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"grpcfd-interop/internal/security"
	"grpcfd-interop/internal/windows"
)

// A dialer connects for one row after the other.
type dialer struct {
	certs   string
	plain   bool
	dynamic bool
	kept    map[string]*grpc.ClientConn
}

// dial makes a connection of the row's own, or with Keep the one that earlier rows to the same target had; done ends the
// row's use of it.
func (d *dialer) dial(row *row, capturers ...func(grpcfd.FDSender)) (cc *grpc.ClientConn, done func(), err error) {
	if cc, ok := d.kept[row.Target]; ok && row.Keep {
		return cc, func() {}, nil
	}
	options, err := d.dialOptions(row, capturers)
	if err != nil {
		return nil, nil, err
	}
	if cc, err = grpc.NewClient(row.Target, options...); err != nil {
		return nil, nil, err
	}
	if !row.Keep {
		return cc, func() { _ = cc.Close() }, nil
	}
	if d.kept == nil {
		d.kept = make(map[string]*grpc.ClientConn)
	}
	d.kept[row.Target] = cc
	return cc, func() {}, nil
}

// close closes the connections that were kept. Later rows make others.
func (d *dialer) close() {
	for _, cc := range d.kept {
		_ = cc.Close()
	}
	d.kept = nil
}

// A target with the number of a connected socket that this process inherited.
const inheritedTarget = "passthrough:///fd:"

// adoptInherited makes a connection of the socket whose number stands behind "fd:", once.
func adoptInherited(_ context.Context, address string) (net.Conn, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(address, "fd:"))
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(number), address)
	defer func() { _ = file.Close() }()
	return net.FileConn(file)
}

func (d *dialer) dialOptions(row *row, capturers []func(grpcfd.FDSender)) ([]grpc.DialOption, error) {
	creds, err := security.Client(row.Security, d.certs)
	if err != nil {
		return nil, err
	}
	options := windows.DialOptions(d.dynamic)
	if strings.HasPrefix(row.Target, inheritedTarget) {
		options = append(options, grpc.WithContextDialer(adoptInherited), grpc.WithAuthority("localhost"))
	}
	if row.Security == security.MTLS {
		// In TLS the token comes with each call, here with all of them.
		options = append(options, grpc.WithDefaultCallOptions(grpc.PerRPCCredentials(security.Token{})))
	}
	if d.plain {
		if creds == nil {
			creds = insecure.NewCredentials()
		}
		return append(options, grpc.WithTransportCredentials(creds)), nil
	}
	return append(options,
		grpc.WithTransportCredentials(grpcfd.TransportCredentials(creds, capturers...)),
		// They let the token of every call and the credentials of one call stand side by side.
		grpcfd.WithChainUnaryInterceptor(),
		grpcfd.WithChainStreamInterceptor(),
	), nil
}

// callOptions makes the options of one call, and the credentials among them that carry its fds.
func (d *dialer) callOptions(row *row) ([]grpc.CallOption, credentials.PerRPCCredentials) {
	// A kept connection may have to be made again: its server may have restarted since the row before.
	options := []grpc.CallOption{grpc.WaitForReady(row.Keep)}
	var inner credentials.PerRPCCredentials
	if row.Security == security.TLS {
		inner = security.Token{}
	}
	if d.plain {
		if inner != nil {
			options = append(options, grpc.PerRPCCredentials(inner))
		}
		return options, nil
	}
	options = append(options, grpc.PerRPCCredentials(grpcfd.PerRPCCredentials(inner)))
	return options, grpcfd.PerRPCCredentialsFromCallOptions(options...)
}
