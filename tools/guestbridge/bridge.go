package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxMessage is the size in bytes of the largest command or response that the
// kernel passes (TPM_BUFSIZE of drivers/char/tpm).
const maxMessage = 4096

const headerSize = 10

// Command and response codes (TPM 2.0 Library Part 2, Part 3; the first one is
// Linux's, for the server of a proxy).
const (
	ccSetLocality = 0x20001000
	tagNoSessions = 0x8001
	rcSuccess     = 0
	rcFailure     = 0x101
	rcLocality    = 0x907
)

// bridge responds to the kernel's commands until its side is closed. Each read and
// each write is one whole message.
func bridge(kernel io.ReadWriter, b *backend) error {
	buf := make([]byte, maxMessage)
	for {
		n, err := kernel.Read(buf)
		if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
		_, err = kernel.Write(answer(buf[:n], b.transact))
		if errors.Is(err, unix.EIO) {
			// The kernel does not wait for this response any more.
			fmt.Fprintln(os.Stderr, "guestbridge: an answer came too late for the kernel")
		} else if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
}

// answer returns the response to a command, which may be malformed.
func answer(cmd []byte, transact func([]byte) ([]byte, error)) []byte {
	if len(cmd) >= headerSize && binary.BigEndian.Uint32(cmd[6:]) == ccSetLocality {
		// The toolstack chooses the locality of the first TPM.
		if len(cmd) == headerSize+1 && cmd[headerSize] == 0 {
			return response(rcSuccess)
		}
		return response(rcLocality)
	}
	rsp, err := transact(cmd)
	if err != nil {
		fmt.Fprintf(os.Stderr, "guestbridge: %v\n", err)
		return response(rcFailure)
	}
	return rsp
}

func response(code uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, headerSize)
	return binary.BigEndian.AppendUint32(b, code)
}

// A backend is the TPM of xen-tpmfront. It exists while the vTPM's domain runs.
type backend struct {
	path string   // of the device; empty to search for it
	f    *os.File // nil while the TPM does not exist
	buf  [maxMessage]byte
}

// classDir contains a link for each TPM.
const classDir = "/sys/class/tpm"

// find returns the device of the TPM whose driver is xen-tpmfront. Its number changes
// if the vTPM restarts while a program has the old device open.
func find(class string) (string, error) {
	drivers, _ := filepath.Glob(filepath.Join(class, "tpm*", "device", "driver"))
	for _, d := range drivers {
		if to, err := os.Readlink(d); err == nil && filepath.Base(to) == "vtpm" {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(d))), nil
		}
	}
	return "", fmt.Errorf("no TPM of the driver xen-tpmfront: %w", os.ErrNotExist)
}

// open does not use os.OpenFile, which would set O_NONBLOCK: Linux would then execute
// a command asynchronously, and a read before its end would return nothing.
func (b *backend) open() error {
	path := b.path
	if path == "" {
		var err error
		if path, err = find(classDir); err != nil {
			return err
		}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	b.f = os.NewFile(uintptr(fd), path)
	return nil
}

func (b *backend) close() {
	if b.f != nil {
		b.f.Close()
		b.f = nil
	}
}

// backTimeout is how long a command waits for a vTPM that is being restarted.
const backTimeout = 30 * time.Second

// transact sends one command. It does not repeat a command that may have been
// executed. Linux executes a command within the write to the TPM; the write fails
// with EPIPE before that if the TPM is gone (drivers/char/tpm/tpm-dev-common.c).
func (b *backend) transact(cmd []byte) ([]byte, error) {
	for end := time.Now().Add(backTimeout); ; time.Sleep(100 * time.Millisecond) {
		err := b.send(cmd)
		if err == nil {
			break
		}
		b.close()
		gone := errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
		if !gone || time.Now().After(end) {
			return nil, err
		}
	}
	n, err := b.f.Read(b.buf[:])
	if err != nil || n < headerSize {
		b.close()
		return nil, fmt.Errorf("response of %d bytes: %w", n, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return b.buf[:n], nil
}

func (b *backend) send(cmd []byte) error {
	if b.f == nil {
		if err := b.open(); err != nil {
			return err
		}
	}
	_, err := b.f.Write(cmd)
	return err
}
