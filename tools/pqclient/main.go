// Pqclient is a client of a TPM 2.0 of version 1.85 that shares no code with the device:
// its structures, sessions and key derivations are written from the specification
// alone, its ML-KEM is the standard library's. It is a second opinion on what package
// vtpm does with the keys that version 1.85 brought.
//
// Synopsis:
//
//	pqclient -unix SOCKET
//
// SOCKET is the data channel of a TPM that is started up and whose hierarchies have no
// authorization values, with a profile such as default-v2. The client makes keys, seals
// and unseals in a session salted by ML-KEM, activates a credential, imports a secret
// that was duplicated by software, encapsulates, and signs and verifies by ML-DSA. It
// prints a line for each and leaves nothing loaded.
//
// The exit code is 0 if all holds, 1 if not, 2 for wrong usage.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	path := flag.String("unix", "", "socket of the TPM's data channel")
	flag.Parse()
	if *path == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*path, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pqclient:", err)
		os.Exit(1)
	}
}

func run(path string, out io.Writer) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	s := story{tpm: &tpm{send: func(command []byte) ([]byte, error) { return transact(c, command) }},
		say: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	return s.run()
}

// maxResponse is the size in bytes of the longest response that the client takes.
const maxResponse = 8192

// transact sends a command and reads its response, each as it is, without a frame.
func transact(c io.ReadWriter, command []byte) ([]byte, error) {
	if _, err := c.Write(command); err != nil {
		return nil, err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[2:])
	if n < 10 || n > maxResponse {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	r := append(head, make([]byte, n-10)...)
	_, err := io.ReadFull(c, r[10:])
	return r, err
}
