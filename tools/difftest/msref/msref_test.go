// Package msref compares this project's device with Microsoft's TPM 2.0
// reference, which go-tpm-tools builds with cgo (package libssl-dev). It is a
// module of its own so that nothing else needs either.
package msref

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-tpm-tools/simulator"

	"stubtpm/tools/difftest/stream"
	"stubtpm/vtpm"
)

type device struct{ *vtpm.Device }

type forgetful struct{}

func (forgetful) Save([]byte) error { return nil }

func (d device) Execute(cmd []byte) ([]byte, error) { return d.Device.Execute(0, cmd), nil }
func (d device) Reset() error                       { d.Init(); return nil }

// reference is the simulator; the library starts it up itself, and so its
// power cycle includes a TPM2_Startup.
type reference struct{ *simulator.Simulator }

func (r reference) Execute(cmd []byte) ([]byte, error) {
	// The library reports failure mode as an error.
	failure := []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1}
	if _, err := r.Write(cmd); err != nil {
		return failure, nil
	}
	rsp, err := io.ReadAll(r.Simulator)
	if err != nil || len(rsp) == 0 {
		return failure, nil
	}
	return rsp, nil
}

func (r reference) Reset() error { return r.Simulator.Reset() }

func open() (stream.TPM, stream.TPM, func(), error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: forgetful{}})
	if err != nil {
		return nil, nil, nil, err
	}
	if rsp := d.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}); len(rsp) != 10 || rsp[9] != 0 {
		return nil, nil, nil, fmt.Errorf("TPM2_Startup: %x", rsp)
	}
	s, err := simulator.Get()
	if err != nil {
		return nil, nil, nil, err
	}
	return device{d}, reference{s}, func() { s.Close() }, nil
}

// TestReference compares commands with the reference.
func TestReference(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("DIFFTEST_COMMANDS"))
	if err != nil {
		n = 5000
	}
	res, err := stream.Run(stream.Options{Seed: 1, Commands: n, NoReboot: true, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(res)
	if n := len(res.Divergences); n > 0 {
		t.Errorf("%d divergences", n)
	}
}
