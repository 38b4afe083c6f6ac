package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"grpcfd-interop/internal/handover"
	"grpcfd-interop/internal/sample"
	"grpcfd-interop/interoppb"
)

// A call hands over the files of one row, in one direction. Its metadata has more bytes than one write has fds, as a call with
// a token does in the field: grpc-go may write the headers before the message, and the grpcfd package panics when a write
// has fewer bytes than fds.
type call struct {
	row       *row
	client    interoppb.ExchangeClient
	options   []grpc.CallOption
	creds     credentials.PerRPCCredentials
	files     []*sample.Sample
	sending   *handover.Sending
	receiving *handover.Receiving
}

func (c *call) run(ctx context.Context) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "interop-filling", rand.Text()+rand.Text()+rand.Text()+rand.Text())
	limit := time.Duration(c.row.ReceiveMs) * time.Millisecond
	receiveCtx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the client waited %v", limit))
	defer cancel()
	var outcome *interoppb.Outcome
	var err error
	switch c.row.Direction {
	case clientToServer:
		outcome, err = c.send(ctx)
	case serverToClient:
		outcome, err = c.receive(ctx, receiveCtx)
	default:
		return fmt.Errorf("no such direction: %q", c.row.Direction)
	}
	if err == nil {
		err = handover.Check(outcome, c.row.Fds)
	}
	if err != nil && c.row.Direction == clientToServer {
		return fmt.Errorf("%w (%v)", err, c.sending)
	}
	return err
}

// send hands the files to the server, and returns what the server says of them.
func (c *call) send(ctx context.Context) (*interoppb.Outcome, error) {
	switch c.row.RPC {
	case "unary":
		request, err := c.give(ctx, c.files)
		if err != nil {
			return nil, err
		}
		reply, err := c.client.Unary(ctx, request, c.options...)
		return reply.GetOutcome(), err
	case "serverStream":
		request, err := c.give(ctx, c.files)
		if err != nil {
			return nil, err
		}
		stream, err := c.client.ServerStream(ctx, request, c.options...)
		if err != nil {
			return nil, err
		}
		return sum(stream.Recv)
	case "clientStream":
		return c.sendOnClientStream(ctx)
	case "bidi":
		return c.sendOnBidi(ctx)
	default:
		return nil, fmt.Errorf("no such rpc: %q", c.row.RPC)
	}
}

// The first file is given before the stream starts, the others while it runs.
func (c *call) sendOnClientStream(ctx context.Context) (*interoppb.Outcome, error) {
	request, err := c.give(ctx, c.files[:1])
	if err != nil {
		return nil, err
	}
	stream, err := c.client.ClientStream(ctx, c.options...)
	if err != nil {
		return nil, err
	}
	for i := range c.files {
		if i > 0 {
			if request, err = c.give(ctx, c.files[i:i+1]); err != nil {
				return nil, err
			}
		}
		// io.EOF says that the server has ended the call; why, the reply says.
		if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := c.sending.Left(ctx); err != nil {
			return nil, err
		}
	}
	reply, err := stream.CloseAndRecv()
	return reply.GetOutcome(), err
}

func (c *call) sendOnBidi(ctx context.Context) (*interoppb.Outcome, error) {
	request, err := c.give(ctx, c.files[:1])
	if err != nil {
		return nil, err
	}
	stream, err := c.client.Bidi(ctx, c.options...)
	if err != nil {
		return nil, err
	}
	total := &interoppb.Outcome{}
	for i := range c.files {
		if i > 0 {
			if request, err = c.give(ctx, c.files[i:i+1]); err != nil {
				return nil, err
			}
		}
		reply, err := ask(stream, request)
		if err != nil {
			return nil, err
		}
		handover.Add(total, reply.GetOutcome())
	}
	return total, stream.CloseSend()
}

// receive has the server send files, and returns what became of them here.
func (c *call) receive(ctx, receiveCtx context.Context) (*interoppb.Outcome, error) {
	kind, err := kindOf(c.row)
	if err != nil {
		return nil, err
	}
	order := &interoppb.Request{
		Order:     &interoppb.Order{Kind: kind, Count: uint32(c.row.Fds)},
		ReceiveMs: c.row.ReceiveMs,
	}
	switch c.row.RPC {
	case "unary":
		reply, err := c.client.Unary(ctx, order, c.options...)
		if err != nil {
			return nil, err
		}
		c.receiving.Receive(receiveCtx, reply.GetFiles())
	case "clientStream":
		stream, err := c.client.ClientStream(ctx, c.options...)
		if err != nil {
			return nil, err
		}
		if err := stream.Send(order); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		reply, err := stream.CloseAndRecv()
		if err != nil {
			return nil, err
		}
		c.receiving.Receive(receiveCtx, reply.GetFiles())
	case "serverStream":
		stream, err := c.client.ServerStream(ctx, order, c.options...)
		if err != nil {
			return nil, err
		}
		for {
			reply, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			c.receiving.Receive(receiveCtx, reply.GetFiles())
		}
	case "bidi":
		stream, err := c.client.Bidi(ctx, c.options...)
		if err != nil {
			return nil, err
		}
		order.Order.Count = 1
		for range c.row.Fds {
			reply, err := ask(stream, order)
			if err != nil {
				return nil, err
			}
			c.receiving.Receive(receiveCtx, reply.GetFiles())
		}
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no such rpc: %q", c.row.RPC)
	}
	return c.receiving.Outcome(), nil
}

func (c *call) give(ctx context.Context, files []*sample.Sample) (*interoppb.Request, error) {
	request := &interoppb.Request{ReceiveMs: c.row.ReceiveMs}
	for _, file := range files {
		message, err := c.sending.Send(file)
		if err != nil {
			return nil, err
		}
		request.Files = append(request.Files, message)
	}
	return request, c.barrier(ctx)
}

// The credentials hand a file to their connection at some later time, so that a message sent in the middle of a stream can
// overtake it. What a gRPC channel asks of them comes after all that they were given before.
func (c *call) barrier(ctx context.Context) error {
	if c.creds == nil {
		return nil
	}
	_, err := c.creds.GetRequestMetadata(ctx)
	return err
}

func ask(stream grpc.BidiStreamingClient[interoppb.Request, interoppb.Reply], request *interoppb.Request) (*interoppb.Reply, error) {
	if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.Recv()
}

func sum(next func() (*interoppb.Reply, error)) (*interoppb.Outcome, error) {
	total := &interoppb.Outcome{}
	for {
		reply, err := next()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return nil, err
		}
		handover.Add(total, reply.GetOutcome())
	}
}
