// Command dom0tpm serves the TPM 2.0 device from a process in dom0, by the same
// ring code as the unikernel's but over Linux's /dev/xen. The lab uses it to
// test the ring against Debian's xen-tpmfront without a vTPM domain.
//
// Synopsis:
//
//	dom0tpm
//
// It runs in the lab's dom0 until it is killed, and forgets its state then.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen/devxen"
	"stubtpm/vtpm"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "dom0tpm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	log := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	host, err := devxen.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	s := &tpmif.Server{Domain: host.Domain(), Handler: handler{log}, Log: log}
	fmt.Println("dom0tpm: ready")
	return s.Run(ctx)
}

// A handler makes a new TPM for each frontend that connects.
type handler struct {
	log func(string, ...any)
}

func (h handler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: forget{}, Log: h.log})
	if err != nil {
		return nil, err
	}
	d.Init()
	// Firmware's work: xen-tpmfront never sends TPM2_Startup(CLEAR).
	if r := d.Execute(0, []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0}); len(r) < 10 || binary.BigEndian.Uint32(r[6:]) != 0 {
		return nil, fmt.Errorf("TPM2_Startup: % x", r)
	}
	h.log("dom0tpm: %v connected", p)
	return conn{d}, nil
}

// A conn is the device of one frontend.
type conn struct{ *vtpm.Device }

func (conn) Close() {}

// forget is a store for a TPM that need not outlive its process.
type forget struct{}

func (forget) Save([]byte) error { return nil }
