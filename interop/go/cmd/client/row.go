package main

import (
	"context"
	"fmt"
	"time"

	"github.com/edwarnicke/grpcfd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"

	"grpcfd-interop/internal/handover"
	"grpcfd-interop/internal/sample"
	"grpcfd-interop/interoppb"
)

// How much longer than its files a call may take.
const callGrace = 3 * time.Second

// A row tells what to do; interop/README.md describes the fields.
type row struct {
	ID         int    `json:"id"`
	Op         string `json:"op"`
	Target     string `json:"target"`
	Security   string `json:"security"`
	RPC        string `json:"rpc"`
	Direction  string `json:"direction"`
	Kind       string `json:"kind"`
	Fds        int    `json:"fds"`
	Times      int    `json:"times"`
	Keep       bool   `json:"keep"`
	Warm       bool   `json:"warm"`
	ReceiveMs  uint32 `json:"receiveMs"`
	DeadlineMs uint32 `json:"deadlineMs"`
}

const (
	opExchange = "exchange"
	opHealth   = "health"
	opPreface  = "preface"
	opModes    = "modes"
	opClose    = "close"

	clientToServer = "c2s"
	serverToClient = "s2c"
)

func run(dialer *dialer, row *row) error {
	limit := time.Duration(row.ReceiveMs)*time.Millisecond + callGrace
	if row.DeadlineMs > 0 {
		limit = time.Duration(row.DeadlineMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("the client waited %v", limit))
	defer cancel()
	switch row.Op {
	case "", opExchange:
		return exchangeRow(ctx, dialer, row)
	case opHealth:
		return healthRow(ctx, dialer, row)
	case opPreface:
		return prefaceRow(ctx, dialer, row)
	case opModes:
		return modesRow(ctx, dialer, row)
	case opClose:
		dialer.close()
		return nil
	default:
		return fmt.Errorf("no such op: %q", row.Op)
	}
}

// Each call has credentials of its own, as users of the package have it; the files are the same in all of them.
func exchangeRow(ctx context.Context, dialer *dialer, row *row) error {
	cc, done, err := dialer.dial(row)
	if err != nil {
		return err
	}
	defer done()
	set, err := sample.NewSet()
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }()
	var files []*sample.Sample
	if row.Direction == clientToServer {
		if files, err = makeFiles(set, row); err != nil {
			return err
		}
	}
	if row.Warm {
		if err := checkHealth(ctx, dialer, row, cc); err != nil {
			return err
		}
	}
	for range max(row.Times, 1) {
		if err := newCall(dialer, row, cc, files).run(ctx); err != nil {
			return err
		}
	}
	return nil
}

func healthRow(ctx context.Context, dialer *dialer, row *row) error {
	cc, done, err := dialer.dial(row)
	if err != nil {
		return err
	}
	defer done()
	return checkHealth(ctx, dialer, row, cc)
}

func checkHealth(ctx context.Context, dialer *dialer, row *row, cc grpc.ClientConnInterface) error {
	options, _ := dialer.callOptions(row)
	reply, err := grpc_health_v1.NewHealthClient(cc).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, options...)
	if err != nil {
		return err
	}
	if reply.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the server is %v", reply.GetStatus())
	}
	return nil
}

// The files leave before the connection's preface; only then is the call made that speaks of them.
func prefaceRow(ctx context.Context, dialer *dialer, row *row) error {
	set, err := sample.NewSet()
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }()
	files, err := makeFiles(set, row)
	if err != nil {
		return err
	}
	captured := make(chan error, 1)
	cc, done, err := dialer.dial(row, func(sender grpcfd.FDSender) {
		captured <- sendAll(sender, files)
	})
	if err != nil {
		return err
	}
	defer done()
	promised := newCall(dialer, row, cc, files)
	promised.creds = nil
	promised.sending = handover.NewSending(nil)
	if err := promised.run(ctx); err != nil {
		return err
	}
	return <-captured
}

func sendAll(sender grpcfd.FDSender, files []*sample.Sample) error {
	sending := handover.NewSending(sender)
	for _, file := range files {
		if _, err := sending.Send(file); err != nil {
			return err
		}
	}
	return nil
}

// One file twice on one connection, first to be read, then to be written too. The server is to tell them apart.
func modesRow(ctx context.Context, dialer *dialer, row *row) error {
	cc, done, err := dialer.dial(row)
	if err != nil {
		return err
	}
	defer done()
	set, err := sample.NewSet()
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }()
	files, err := set.MakeModes()
	if err != nil {
		return err
	}
	one := *row
	one.Fds = 1
	for i := range files {
		if err := newCall(dialer, &one, cc, files[i:i+1]).run(ctx); err != nil {
			return err
		}
	}
	return nil
}

func makeFiles(set *sample.Set, row *row) ([]*sample.Sample, error) {
	kind, err := kindOf(row)
	if err != nil {
		return nil, err
	}
	files := make([]*sample.Sample, row.Fds)
	for i := range files {
		if files[i], err = set.Make(kind); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func kindOf(row *row) (interoppb.Kind, error) {
	kind, ok := interoppb.Kind_value[row.Kind]
	if !ok {
		return 0, fmt.Errorf("no such kind of file: %q", row.Kind)
	}
	return interoppb.Kind(kind), nil
}

func newCall(dialer *dialer, row *row, cc grpc.ClientConnInterface, files []*sample.Sample) *call {
	options, creds := dialer.callOptions(row)
	transceiver := transceiverOf(creds)
	return &call{
		row:       row,
		client:    interoppb.NewExchangeClient(cc),
		options:   options,
		creds:     creds,
		files:     files,
		sending:   handover.NewSending(transceiver),
		receiving: handover.NewReceiving(transceiver),
	}
}

func transceiverOf(creds credentials.PerRPCCredentials) grpcfd.FDTransceiver {
	transceiver, _ := grpcfd.FromPerRPCCredentials(creds)
	return transceiver
}
