// Client runs rows of the interop matrix: one JSON row to a line of standard input, one JSON result to a line of standard
// output, until the input ends. A row that fails is a result like any other; the process dies only where the grpcfd
// package panics.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"
)

type result struct {
	ID     int    `json:"id"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
	Millis int64  `json:"ms"`
}

func main() {
	certs := flag.String("certs", "", "directory with the certificates")
	plain := flag.Bool("plain", false, "call as stock grpc-go, without the grpcfd package")
	dynamic := flag.Bool("dynamic-windows", false, "leave the HTTP/2 windows to grpc-go, and the outcome to chance")
	flag.Parse()

	dialer := &dialer{certs: *certs, plain: *plain, dynamic: *dynamic}
	defer dialer.close()
	output := json.NewEncoder(os.Stdout)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var next row
		if err := json.Unmarshal(input.Bytes(), &next); err != nil {
			log.Fatal(err)
		}
		start := time.Now()
		answer := result{ID: next.ID, OK: true}
		if err := run(dialer, &next); err != nil {
			answer.OK = false
			answer.Reason = err.Error()
		}
		answer.Millis = time.Since(start).Milliseconds()
		if err := output.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
	if err := input.Err(); err != nil {
		log.Fatal(err)
	}
}
