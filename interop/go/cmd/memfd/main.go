// Memfd makes memfds for the Node peers, since Node.js cannot: one for each line of standard input, with that line as its
// content. It prints the name under which the other process can open it, until many more have been made.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"
)

const kept = 1024

func main() {
	var open [kept]*os.File
	input := bufio.NewScanner(os.Stdin)
	for i := 0; input.Scan(); i = (i + 1) % kept {
		fd, err := unix.MemfdCreate("grpcfd-interop", unix.MFD_CLOEXEC)
		if err != nil {
			log.Fatal(err)
		}
		if open[i] != nil {
			_ = open[i].Close()
		}
		open[i] = os.NewFile(uintptr(fd), "memfd")
		if _, err := open[i].WriteString(input.Text()); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("/proc/%d/fd/%d\n", os.Getpid(), fd)
	}
	if err := input.Err(); err != nil {
		log.Fatal(err)
	}
}
