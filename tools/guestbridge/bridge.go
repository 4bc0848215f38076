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

// Numbers of commands and responses (TPM 2.0 Library Part 2, Part 3; the
// first is Linux' own, for the server of a proxy).
const (
	ccSetLocality = 0x20001000
	tagNoSessions = 0x8001
	rcSuccess     = 0
	rcFailure     = 0x101
	rcLocality    = 0x907
)

// bridge answers the kernel's commands until its side ends. Each read and
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
			// The kernel does not wait for this answer any more: of the next
			// command it has not been read.
			fmt.Fprintln(os.Stderr, "guestbridge: an answer came too late for the kernel")
		} else if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
}

// answer returns the response to one command, for any bytes.
func answer(cmd []byte, transact func([]byte) ([]byte, error)) []byte {
	if len(cmd) >= headerSize && binary.BigEndian.Uint32(cmd[6:]) == ccSetLocality {
		// The first TPM's locality is the toolstack's choice, not ours.
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

// A backend is the TPM of xen-tpmfront. It vanishes with the vTPM's domain and
// returns with it.
type backend struct {
	path string   // empty: whichever there is
	f    *os.File // nil while it is away
	buf  [maxMessage]byte
}

// classDir has a link for each TPM that Linux knows.
const classDir = "/sys/class/tpm"

// find returns the device of the TPM whose driver is xen-tpmfront's. Its number
// changes when the vTPM comes back while somebody has the old one open.
func find(class string) (string, error) {
	drivers, _ := filepath.Glob(filepath.Join(class, "tpm*", "device", "driver"))
	for _, d := range drivers {
		if to, err := os.Readlink(d); err == nil && filepath.Base(to) == "vtpm" {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(d))), nil
		}
	}
	return "", fmt.Errorf("no TPM of the driver xen-tpmfront: %w", os.ErrNotExist)
}

// open does not use os.OpenFile, which would set O_NONBLOCK: then Linux executes
// a command behind our back, and a read before its end is empty.
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

// transact sends one command. One that may have been sent and was not answered
// is not sent again: nobody knows whether it was executed. Linux' write to a
// TPM is the whole execution of the command; it fails with EPIPE before that if
// the TPM is gone (drivers/char/tpm/tpm-dev-common.c).
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
