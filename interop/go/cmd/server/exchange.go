package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edwarnicke/grpcfd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"grpcfd-interop/internal/handover"
	"grpcfd-interop/internal/sample"
	"grpcfd-interop/internal/security"
	"grpcfd-interop/interoppb"
)

type exchange struct {
	interoppb.UnimplementedExchangeServer
	security string
	shelf    *shelf
}

// A visit is one call: what it sends, and what it receives.
type visit struct {
	ctx       context.Context
	sending   *handover.Sending
	receiving *handover.Receiving
	set       *sample.Set
}

func (e *exchange) Unary(ctx context.Context, request *interoppb.Request) (*interoppb.Reply, error) {
	// A nil interface where the connection carries no fds.
	transceiver, _ := grpcfd.FromContext(ctx)
	visit, cancel, err := e.begin(ctx, transceiver, request)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return visit.answer(request)
}

func (e *exchange) ClientStream(stream grpc.ClientStreamingServer[interoppb.Request, interoppb.Reply]) error {
	var visit *visit
	total := &interoppb.Reply{Outcome: &interoppb.Outcome{}}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(total)
		}
		if err != nil {
			return err
		}
		if visit == nil {
			var cancel context.CancelFunc
			visit, cancel, err = e.begin(stream.Context(), transceiverOfPeer(stream.Context()), request)
			if err != nil {
				return err
			}
			defer cancel()
		}
		reply, err := visit.answer(request)
		if err != nil {
			return err
		}
		total.Files = append(total.Files, reply.GetFiles()...)
		total.Outcome = visit.receiving.Outcome()
	}
}

func (e *exchange) ServerStream(request *interoppb.Request, stream grpc.ServerStreamingServer[interoppb.Reply]) error {
	visit, cancel, err := e.begin(stream.Context(), transceiverOfPeer(stream.Context()), request)
	if err != nil {
		return err
	}
	defer cancel()
	if len(request.GetFiles()) > 0 {
		return stream.Send(&interoppb.Reply{Outcome: visit.receive(request.GetFiles())})
	}
	for range request.GetOrder().GetCount() {
		file, err := visit.send(request.GetOrder().GetKind())
		if err != nil {
			return err
		}
		if err := stream.Send(&interoppb.Reply{Files: []*interoppb.File{file}}); err != nil {
			return err
		}
		if err := visit.sending.Left(visit.ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *exchange) Bidi(stream grpc.BidiStreamingServer[interoppb.Request, interoppb.Reply]) error {
	var visit *visit
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if visit == nil {
			var cancel context.CancelFunc
			visit, cancel, err = e.begin(stream.Context(), transceiverOfPeer(stream.Context()), request)
			if err != nil {
				return err
			}
			defer cancel()
		}
		reply, err := visit.answer(request)
		if err != nil {
			return err
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}

// The time to receive runs from the first request and covers the whole call.
func (e *exchange) begin(ctx context.Context, transceiver grpcfd.FDTransceiver, first *interoppb.Request) (*visit, context.CancelFunc, error) {
	if err := security.CheckToken(ctx, e.security); err != nil {
		return nil, nil, err
	}
	set, err := e.shelf.newSet()
	if err != nil {
		return nil, nil, err
	}
	limit := time.Duration(first.GetReceiveMs()) * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the server waited %v", limit))
	return &visit{
		ctx:       ctx,
		sending:   handover.NewSending(transceiver),
		receiving: handover.NewReceiving(transceiver),
		set:       set,
	}, cancel, nil
}

func (v *visit) answer(request *interoppb.Request) (*interoppb.Reply, error) {
	reply := &interoppb.Reply{Outcome: v.receive(request.GetFiles())}
	for range request.GetOrder().GetCount() {
		file, err := v.send(request.GetOrder().GetKind())
		if err != nil {
			return nil, err
		}
		reply.Files = append(reply.Files, file)
	}
	return reply, nil
}

func (v *visit) receive(files []*interoppb.File) *interoppb.Outcome {
	return v.receiving.Receive(v.ctx, files)
}

func (v *visit) send(kind interoppb.Kind) (*interoppb.File, error) {
	made, err := v.set.Make(kind)
	if err != nil {
		return nil, err
	}
	return v.sending.Send(made)
}

func transceiverOfPeer(ctx context.Context) grpcfd.FDTransceiver {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	transceiver, _ := grpcfd.FromPeer(caller)
	return transceiver
}
