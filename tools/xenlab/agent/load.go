package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"
)

// NV indices that load uses: a counter, and one of eight bytes.
const (
	loadCounter tpm2.TPMHandle = 0x01900001
	loadData    tpm2.TPMHandle = 0x01900002
)

// device is an open TPM device.
type device struct{ fd int }

// Send implements transport.TPM.
func (d device) Send(command []byte) ([]byte, error) {
	if _, err := unix.Write(d.fd, command); err != nil {
		return nil, err
	}
	b := make([]byte, 4096)
	n, err := unix.Read(d.fd, b)
	if err == nil && n < 10 {
		err = io.ErrUnexpectedEOF
	}
	return b[:max(n, 0)], err
}

// load changes the state of a TPM until the program is killed, and prints lines:
//
//	found C D   values of the indices after the device was opened
//	count C     the counter was incremented and read
//	wrote D     the other index was written
//	lost WHY    the device failed; it is reopened once it is back
//
// pause is the pause between two rounds.
func load(pause time.Duration, out io.Writer) error {
	said := ""
	for {
		err := loadOnce(pause, out)
		if s := err.Error(); s != said {
			said = s
			fmt.Fprintf(out, "lost %v\n", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

var errNoTPM = errors.New("no TPM device")

func loadOnce(pause time.Duration, out io.Writer) error {
	nodes, err := filepath.Glob("/dev/tpm[0-9]*")
	if err != nil || len(nodes) == 0 {
		return errNoTPM
	}
	sort.Strings(nodes)
	fd, err := unix.Open(nodes[len(nodes)-1], unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	tpm := device{fd}
	counter, err := nvNumber(tpm, loadCounter)
	if errors.Is(err, tpm2.TPMRCHandle) || errors.Is(err, tpm2.TPMRCNVUninitialized) {
		if err = define(tpm, loadCounter, tpm2.TPMNTCounter); err == nil {
			err = define(tpm, loadData, tpm2.TPMNTOrdinary)
		}
		if err == nil {
			err = round(tpm, 0, out)
		}
		if err != nil && !errors.Is(err, tpm2.TPMRCNVDefined) {
			return err
		}
		counter, err = nvNumber(tpm, loadCounter)
	}
	if err != nil {
		return err
	}
	data, err := nvNumber(tpm, loadData)
	if err != nil && !errors.Is(err, tpm2.TPMRCNVUninitialized) {
		return err
	}
	fmt.Fprintf(out, "found %d %d\n", counter, data)
	for {
		if err := round(tpm, counter, out); err != nil {
			return err
		}
		counter++
		time.Sleep(pause)
	}
}

// round increments the counter and writes its value into the other index.
func round(tpm device, before uint64, out io.Writer) error {
	if _, err := (tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: named(loadCounter)}).Execute(tpm); err != nil {
		return err
	}
	n, err := nvNumber(tpm, loadCounter)
	if err != nil {
		return err
	}
	if n <= before {
		fmt.Fprintf(out, "count %d after %d\n", n, before)
	}
	fmt.Fprintf(out, "count %d\n", n)
	_, err = tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: named(loadData),
		Data: tpm2.TPM2BMaxNVBuffer{Buffer: binary.BigEndian.AppendUint64(nil, n)}}.Execute(tpm)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %d\n", n)
	return nil
}

// named is an index without its name: password authorizations need none.
func named(h tpm2.TPMHandle) tpm2.NamedHandle { return tpm2.NamedHandle{Handle: h} }

func define(tpm device, h tpm2.TPMHandle, kind tpm2.TPMNT) error {
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: kind, NoDA: true},
	})}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCNVDefined) {
		return nil
	}
	return err
}

func nvNumber(tpm device, h tpm2.TPMHandle) (uint64, error) {
	v, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, NVIndex: named(h), Size: 8}.Execute(tpm)
	if err != nil {
		return 0, err
	}
	if len(v.Data.Buffer) != 8 {
		return 0, io.ErrUnexpectedEOF
	}
	return binary.BigEndian.Uint64(v.Data.Buffer), nil
}
