// Package sample makes the files that the interop peers send, and examines those that they receive.
package sample

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/edwarnicke/grpcfd"
	"golang.org/x/sys/unix"

	"grpcfd-interop/interoppb"
)

// A Sample is one file ready to be sent: by Name where there is one, else as the open File.
type Sample struct {
	Message *interoppb.File
	Name    string
	File    *os.File
}

// A Set owns samples, each with an inode of its own (but NETNS: a process has one network namespace), and what keeps
// them alive: a directory, open files, listening sockets. Its samples can be received until Close.
type Set struct {
	directory string
	closers   []func() error
	made      int
}

// NewSet makes an empty set with a directory of its own.
func NewSet() (*Set, error) {
	directory, err := os.MkdirTemp("", "grpcfd-interop-")
	if err != nil {
		return nil, err
	}
	return &Set{directory: directory}, nil
}

// Close closes and removes all that the set's samples consist of.
func (s *Set) Close() error {
	var failures []error
	for _, closer := range s.closers {
		failures = append(failures, closer())
	}
	s.closers = nil
	return errors.Join(append(failures, os.RemoveAll(s.directory))...)
}

// Make makes a sample; the set owns it.
func (s *Set) Make(kind interoppb.Kind) (*Sample, error) {
	evidence, err := nonce()
	if err != nil {
		return nil, err
	}
	s.made++
	result := &Sample{}
	switch kind {
	case interoppb.Kind_REGULAR:
		result.Name, err = s.regular(evidence)
	case interoppb.Kind_UNLINKED:
		result.File, err = s.unlinked(evidence)
	case interoppb.Kind_MEMFD:
		result.File, err = s.memfd(evidence)
	case interoppb.Kind_SOCKET:
		result.Name, err = s.socket(evidence)
	case interoppb.Kind_DIRECTORY:
		result.Name, err = s.withEntry(evidence)
	case interoppb.Kind_PROC_FD:
		result.Name, err = s.procFD(evidence)
	case interoppb.Kind_NETNS:
		result.Name = "/proc/self/ns/net"
		evidence, err = os.Readlink(result.Name)
	default:
		err = fmt.Errorf("no such kind of file: %v", kind)
	}
	if err != nil {
		return nil, err
	}
	name, err := result.url()
	if err != nil {
		return nil, err
	}
	result.Message = &interoppb.File{Url: name.String(), Kind: kind, Evidence: evidence}
	return result, nil
}

// MakeModes makes two samples of one inode: one open to be read, one open to be written too.
func (s *Set) MakeModes() ([]*Sample, error) {
	both, err := s.Make(interoppb.Kind_UNLINKED)
	if err != nil {
		return nil, err
	}
	reader, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", both.File.Fd()))
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, reader.Close)
	return []*Sample{{Message: both.Message, File: reader}, both}, nil
}

func (s *Sample) url() (*url.URL, error) {
	if s.File != nil {
		return grpcfd.FileToURL(s.File)
	}
	return grpcfd.FilenameToURL(s.Name)
}

func (s *Set) path() string {
	return filepath.Join(s.directory, strconv.Itoa(s.made))
}

func (s *Set) regular(content string) (string, error) {
	return s.path(), os.WriteFile(s.path(), []byte(content), 0o600)
}

func (s *Set) unlinked(content string) (*os.File, error) {
	file, err := os.OpenFile(s.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, file.Close)
	if _, err := file.WriteString(content); err != nil {
		return nil, err
	}
	return file, os.Remove(s.path())
}

func (s *Set) memfd(content string) (*os.File, error) {
	fd, err := unix.MemfdCreate("grpcfd-interop", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "memfd")
	s.closers = append(s.closers, file.Close)
	_, err = file.WriteString(content)
	return file, err
}

func (s *Set) socket(greeting string) (string, error) {
	listener, err := net.Listen("unix", s.path())
	if err != nil {
		return "", err
	}
	s.closers = append(s.closers, listener.Close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(greeting))
			_ = conn.Close()
		}
	}()
	return s.path(), nil
}

func (s *Set) withEntry(entry string) (string, error) {
	return s.path(), os.MkdirAll(filepath.Join(s.path(), entry), 0o700)
}

func (s *Set) procFD(content string) (string, error) {
	file, err := s.memfd(content)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd()), nil
}

func nonce() (string, error) {
	random := make([]byte, 12)
	_, err := rand.Read(random)
	return hex.EncodeToString(random), err
}
