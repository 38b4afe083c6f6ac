// Certs writes the certificates and keys of a run into the directory that it is given.
package main

import (
	"flag"
	"log"

	"grpcfd-interop/internal/security"
)

func main() {
	directory := flag.String("dir", "", "existing directory to write to")
	flag.Parse()
	if err := security.WriteCertificates(*directory); err != nil {
		log.Fatal(err)
	}
}
