// Server answers the calls of interop.proto on one socket for each security: <dir>/<security>.sock. It prints one JSON line
// when it listens, and ends when its standard input does.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/edwarnicke/grpcfd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"grpcfd-interop/internal/security"
	"grpcfd-interop/internal/windows"
	"grpcfd-interop/interoppb"
)

func main() {
	directory := flag.String("dir", "", "existing directory for the sockets")
	certs := flag.String("certs", "", "directory with the certificates")
	plain := flag.Bool("plain", false, "serve as stock grpc-go, without the grpcfd package")
	dynamic := flag.Bool("dynamic-windows", false, "leave the HTTP/2 windows to grpc-go, and the outcome to chance")
	maxStreams := flag.Uint("max-streams", 0, "the streams that a connection may have open, 0 for any number")
	shelfSize := flag.Int("shelf", 8, "of how many calls the files are kept")
	showMetadata := flag.Bool("show-metadata", false, "print the keys of each call's metadata as a JSON line")
	flag.Parse()

	options := windows.ServerOptions(*dynamic)
	if *maxStreams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(*maxStreams)))
	}
	if *showMetadata {
		options = append(options, metadataPrinter()...)
	}
	shelf := &shelf{size: *shelfSize}
	for _, name := range security.All {
		server, err := newServer(name, *certs, *plain, options, shelf)
		if err != nil {
			log.Fatal(err)
		}
		listener, err := net.Listen("unix", filepath.Join(*directory, name+".sock"))
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			if err := server.Serve(listener); err != nil {
				log.Fatal(err)
			}
		}()
		defer server.Stop()
	}
	defer shelf.clear()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]bool{"ready": true}); err != nil {
		log.Fatal(err)
	}
	// Each line asks to close the files of the calls that have ended.
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		shelf.clear()
		if err := json.NewEncoder(os.Stdout).Encode(map[string]bool{"cleared": true}); err != nil {
			log.Fatal(err)
		}
	}
}

func newServer(name, certs string, plain bool, options []grpc.ServerOption, shelf *shelf) (*grpc.Server, error) {
	creds, err := transportCredentials(name, certs, plain)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.Creds(creds)}, options...)...)
	interoppb.RegisterExchangeServer(server, &exchange{security: name, shelf: shelf})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	return server, nil
}

func transportCredentials(name, certs string, plain bool) (credentials.TransportCredentials, error) {
	creds, err := security.Server(name, certs)
	if err != nil {
		return nil, err
	}
	if !plain {
		return grpcfd.TransportCredentials(creds), nil
	}
	if creds == nil {
		return insecure.NewCredentials(), nil
	}
	return creds, nil
}
