package handover

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/edwarnicke/grpcfd"
	"golang.org/x/sys/unix"

	"grpcfd-interop/internal/sample"
	"grpcfd-interop/interoppb"
)

var errNoTransceiver = errors.New("this connection carries no fds")

// A Receiving receives the files of one call.
type Receiving struct {
	recver  grpcfd.FDRecver
	turn    int
	outcome *interoppb.Outcome
}

// NewReceiving receives through recver; with none, every file is a failure.
func NewReceiving(recver grpcfd.FDRecver) *Receiving {
	return &Receiving{recver: recver, outcome: &interoppb.Outcome{}}
}

// Outcome tells what became of all files so far.
func (r *Receiving) Outcome() *interoppb.Outcome {
	return r.outcome
}

// Receive waits for files, until ctx ends, and examines them. It tells what became of these.
func (r *Receiving) Receive(ctx context.Context, files []*interoppb.File) *interoppb.Outcome {
	// All are asked for before the first is waited for: once ctx has ended, what is there must not look missing.
	waits := make([]func() error, len(files))
	for i, file := range files {
		waits[i] = r.ask(ctx, file)
	}
	outcome := &interoppb.Outcome{}
	for i, wait := range waits {
		if err := wait(); err != nil {
			outcome.Failures = append(outcome.Failures, fmt.Sprintf("%s: %v", files[i].GetUrl(), err))
		} else {
			outcome.Received++
		}
	}
	Add(r.outcome, outcome)
	return outcome
}

// Add counts the files of another outcome too.
func Add(total, outcome *interoppb.Outcome) {
	total.Received += outcome.GetReceived()
	total.Failures = append(total.Failures, outcome.GetFailures()...)
}

// Check is nil where all files of a row were received.
func Check(outcome *interoppb.Outcome, files int) error {
	if failures := outcome.GetFailures(); len(failures) > 0 {
		return fmt.Errorf("%d of %d files not received, first %s", len(failures), files, failures[0])
	}
	if got := int(outcome.GetReceived()); got != files {
		return fmt.Errorf("the peer speaks of %d files, not of %d", got, files)
	}
	return nil
}

func (r *Receiving) ask(ctx context.Context, promised *interoppb.File) func() error {
	fail := func(err error) func() error {
		return func() error { return err }
	}
	if r.recver == nil {
		return fail(errNoTransceiver)
	}
	dev, ino, err := grpcfd.URLStringToDevIno(promised.GetUrl())
	if err != nil {
		return fail(err)
	}
	turn := r.turn % 4
	r.turn++
	switch turn {
	case 0:
		files := r.recver.RecvFile(dev, ino)
		return func() error { return examineFile(ctx, files, promised) }
	case 1:
		fds := r.recver.RecvFD(dev, ino)
		return func() error { return examineFD(ctx, fds, promised) }
	case 2:
		files, err := r.recver.RecvFileByURL(promised.GetUrl())
		if err != nil {
			return fail(err)
		}
		return func() error { return examineFile(ctx, files, promised) }
	default:
		fds, err := r.recver.RecvFDByURL(promised.GetUrl())
		if err != nil {
			return fail(err)
		}
		return func() error { return examineFD(ctx, fds, promised) }
	}
}

func examineFile(ctx context.Context, files <-chan *os.File, promised *interoppb.File) error {
	file, err := receive(ctx, files)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return sample.Examine(file.Fd(), promised)
}

func examineFD(ctx context.Context, fds <-chan uintptr, promised *interoppb.File) error {
	fd, err := receive(ctx, fds)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(int(fd)) }()
	return sample.Examine(fd, promised)
}

// The package has no error for a file that does not come: the channel stays silent, or is closed with the connection.
func receive[T any](ctx context.Context, received <-chan T) (T, error) {
	var none T
	// With both ready, select draws lots; what has come counts.
	select {
	case value, ok := <-received:
		return opened(value, ok)
	default:
	}
	select {
	case value, ok := <-received:
		return opened(value, ok)
	case <-ctx.Done():
		return none, fmt.Errorf("the fd did not come: %w", context.Cause(ctx))
	}
}

func opened[T any](value T, ok bool) (T, error) {
	if !ok {
		return value, errors.New("the connection closed before the fd came")
	}
	return value, nil
}
