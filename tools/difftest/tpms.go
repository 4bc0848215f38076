package main

import (
	"os"
	"time"

	"stubtpm/tools/difftest/stream"
	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm"
)

// A device is this project's device, in this process.
type device struct{ *vtpm.Device }

// noStore saves nothing, because a device lives as long as its episode.
type noStore struct{}

func (noStore) Save([]byte) error { return nil }

func newDevice() (stream.TPM, error) {
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	return device{d}, err
}

func (d device) Execute(cmd []byte) ([]byte, error) { return d.Device.Execute(0, cmd), nil }
func (d device) Reset() error                       { d.Init(); return nil }

// A process is another TPM in its own process, used over its socket.
type process struct {
	proc *tpmproc.Process
	conn *tpmproc.Conn
	dir  string
}

func startProcess(program []string) (*process, error) {
	dir, err := os.MkdirTemp("", "difftest")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	if p.proc, err = tpmproc.Start(program, dir, "--flags", "not-need-init"); err != nil {
		p.close()
		return nil, err
	}
	for range 50 { // the control socket may exist before the data socket
		if p.conn, err = tpmproc.Dial(p.proc.Data); err == nil {
			return p, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.close()
	return nil, err
}

func (p *process) Execute(cmd []byte) ([]byte, error) { return p.conn.Send(cmd) }
func (p *process) Reset() error                       { return p.proc.PowerCycle() }

func (p *process) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	if p.proc != nil {
		p.proc.Stop()
	}
	os.RemoveAll(p.dir)
}

// open returns a function that opens a new device and a new process of the other
// program.
func open(program []string) func() (stream.TPM, stream.TPM, func(), error) {
	return func() (stream.TPM, stream.TPM, func(), error) {
		ours, err := newDevice()
		if err != nil {
			return nil, nil, nil, err
		}
		p, err := startProcess(program)
		if err != nil {
			return nil, nil, nil, err
		}
		return ours, p, p.close, nil
	}
}
