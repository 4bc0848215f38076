// Pqclient is a client of a TPM 2.0 of version 1.85 that shares no code with the device:
// its structures, sessions and key derivations are written from the specification
// alone, its ML-KEM is the standard library's. It is a second opinion on what package
// vtpm does with the keys that version 1.85 brought.
//
// Synopsis:
//
//	pqclient -unix SOCKET [-quote NONCE]
//	pqclient -device FILE [-quote NONCE]
//
// SOCKET is the data channel of a TPM, FILE a device of Linux such as /dev/tpm0. The TPM is
// started up and its hierarchies have no authorization values, with a profile such as default-v2. The client makes keys, seals
// and unseals in a session salted by ML-KEM, activates a credential, imports a secret
// that was duplicated by software, encapsulates, and signs and verifies by ML-DSA. It
// prints a line for each and leaves nothing loaded. With a NONCE in hexadecimal digits an
// ML-DSA-65 key quotes the SHA-256 PCRs 0 to 7 with it, and three more lines have the public
// key, the TPMS_ATTEST and the signature over it, each after its name in hexadecimal digits.
//
// The exit code is 0 if all holds, 1 if not, 2 for wrong usage.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

func main() {
	socket := flag.String("unix", "", "socket of the TPM's data channel")
	device := flag.String("device", "", "device of Linux, such as /dev/tpm0")
	digits := flag.String("quote", "", "nonce of a quote to print, in hexadecimal digits")
	flag.Parse()
	nonce, err := hex.DecodeString(*digits)
	if (*socket == "") == (*device == "") || flag.NArg() != 0 || err != nil || len(nonce) > 32 {
		flag.Usage()
		os.Exit(2)
	}
	if *socket != "" {
		err = onSocket(*socket, nonce, os.Stdout)
	} else {
		err = onDevice(*device, nonce, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pqclient:", err)
		os.Exit(1)
	}
}

func onSocket(path string, nonce []byte, out io.Writer) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	return run(func(command []byte) ([]byte, error) { return transact(c, command) }, nil, nonce, out)
}

func onDevice(path string, nonce []byte, out io.Writer) error {
	// Not os.OpenFile, which makes what can be polled non-blocking: Linux then gives no
	// bytes, an end of file, until the TPM has answered.
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	// Linux 6.1 carries 4,096 bytes, which a signature of ML-DSA-87 exceeds.
	return run(func(command []byte) ([]byte, error) { return exchange(f, command) }, []int{1, 2}, nonce, out)
}

// run is the story with parameter sets of ML-DSA, nil for those that the TPM has, and a
// quote if there is a nonce.
func run(send func([]byte) ([]byte, error), sets []int, nonce []byte, out io.Writer) error {
	s := story{tpm: &tpm{send: send}, sets: sets, say: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	if err := s.run(); err != nil || len(nonce) == 0 {
		return err
	}
	q, err := s.quoted(nonce)
	if err != nil {
		return fmt.Errorf("quote: %w", err)
	}
	s.say("key %x\nattest %x\nsignature %x", q.key, q.attest, q.signature)
	return nil
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

// exchange sends a command to a device of Linux, which gives a response in one piece, and
// drops what of it is not read at once.
func exchange(f io.ReadWriter, command []byte) ([]byte, error) {
	if _, err := f.Write(command); err != nil {
		return nil, err
	}
	r := make([]byte, maxResponse)
	n, err := f.Read(r)
	return r[:n], err
}
