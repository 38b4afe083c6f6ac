package sample

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/edwarnicke/grpcfd"
	"golang.org/x/sys/unix"

	"grpcfd-interop/interoppb"
)

const dialTimeout = 20 * time.Second

// Examine tells whether a received file is the one that the message promised: the same inode, and the evidence is found
// through the fd itself, never through a name that the sender knew.
func Examine(fd uintptr, promised *interoppb.File) error {
	got, err := grpcfd.FDToURL(fd)
	if err != nil {
		return err
	}
	if got.String() != promised.GetUrl() {
		return fmt.Errorf("received %s", got)
	}
	found, err := evidence(fd, promised.GetKind())
	if err != nil {
		return err
	}
	if found != promised.GetEvidence() {
		return fmt.Errorf("found %q, not %q", found, promised.GetEvidence())
	}
	return nil
}

func evidence(fd uintptr, kind interoppb.Kind) (string, error) {
	link := fmt.Sprintf("/proc/self/fd/%d", fd)
	switch kind {
	case interoppb.Kind_UNLINKED, interoppb.Kind_MEMFD:
		// The offset is shared with the sender, so never a plain read.
		buffer := make([]byte, 64)
		n, err := unix.Pread(int(fd), buffer, 0)
		if err != nil {
			return "", err
		}
		return string(buffer[:n]), nil
	case interoppb.Kind_REGULAR, interoppb.Kind_PROC_FD:
		content, err := os.ReadFile(link)
		return string(content), err
	case interoppb.Kind_SOCKET:
		conn, err := net.DialTimeout("unix", link, dialTimeout)
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetReadDeadline(time.Now().Add(dialTimeout)); err != nil {
			return "", err
		}
		greeting, err := io.ReadAll(conn)
		return string(greeting), err
	case interoppb.Kind_DIRECTORY:
		entries, err := os.ReadDir(link)
		if err != nil {
			return "", err
		}
		if len(entries) != 1 {
			return "", fmt.Errorf("the directory has %d entries", len(entries))
		}
		return entries[0].Name(), nil
	case interoppb.Kind_NETNS:
		return os.Readlink(link)
	default:
		return "", fmt.Errorf("no such kind of file: %v", kind)
	}
}
