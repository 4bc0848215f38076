package main

import (
	"errors"

	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm"
)

// A volatileStore discards each state.
type volatileStore struct{}

func (volatileStore) Save([]byte) error { return nil }

// newDevice manufactures a device in this process and sends TPM2_Startup.
func newDevice() (*vtpm.Device, error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: volatileStore{}})
	if err != nil {
		return nil, err
	}
	if rsp := d.Execute(0, startupClear); len(rsp) != 10 || rsp[6]|rsp[7]|rsp[8]|rsp[9] != 0 {
		return nil, errors.New("TPM2_Startup failed")
	}
	return d, nil
}

// Two commands as bytes (Part 3, 9.3 and 16.1).
var (
	startupClear = []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}
	getRandom32  = []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 32}
)

// inProcess returns a side without a socket.
func inProcess() (*side, error) {
	d, err := newDevice()
	if err != nil {
		return nil, err
	}
	c := tpmproc.Direct(func(cmd []byte) []byte { return d.Execute(0, cmd) })
	return &side{name: "in process", conn: c}, nil
}
