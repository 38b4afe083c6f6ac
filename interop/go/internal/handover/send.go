// Package handover sends and receives files with the calls of the grpcfd package, each of them used in its turn.
package handover

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/edwarnicke/grpcfd"

	"grpcfd-interop/internal/sample"
	"grpcfd-interop/interoppb"
)

// A Sending counts the files given to one sender.
type Sending struct {
	sender grpcfd.FDSender
	errChs []<-chan error
	left   int
}

// NewSending sends through sender; with none, nothing is sent and the messages promise files that never come, as those
// of a peer without the package do.
func NewSending(sender grpcfd.FDSender) *Sending {
	return &Sending{sender: sender}
}

// Send gives a file to the sender and returns the message that promises it.
func (s *Sending) Send(file *sample.Sample) (*interoppb.File, error) {
	if s.sender == nil {
		return file.Message, nil
	}
	var errCh <-chan error
	switch {
	case file.Name != "":
		errCh = s.sender.SendFilename(file.Name)
	case file.Message.GetKind() == interoppb.Kind_MEMFD:
		errCh = s.sender.SendFD(file.File.Fd())
	default:
		errCh = s.sender.SendFile(file.File)
	}
	select {
	case err := <-errCh:
		// SendFilename on a connection closes its file twice, and reports that once the fd has left.
		if err != nil && !errors.Is(err, os.ErrClosed) {
			return nil, err
		}
	default:
	}
	s.errChs = append(s.errChs, errCh)
	return file.Message, nil
}

// Left waits until all files so far have left this process. A stream that does not wait queues more fds than the package can
// put on its writes.
func (s *Sending) Left(ctx context.Context) error {
	for ; s.left < len(s.errChs); s.left++ {
		select {
		case <-s.errChs[s.left]:
		case <-ctx.Done():
			return fmt.Errorf("the fd did not leave: %w", context.Cause(ctx))
		}
	}
	return nil
}

// String tells how many files have left this process.
func (s *Sending) String() string {
	left := 0
	for _, errCh := range s.errChs {
		select {
		case <-errCh:
			left++
		default:
		}
	}
	return fmt.Sprintf("%d of %d fds have left", left, len(s.errChs))
}
