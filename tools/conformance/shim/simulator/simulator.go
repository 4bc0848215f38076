// Package simulator has the functions of go-tpm-tools' package of this name,
// with this project's device behind them. In place of the original it lets
// Google's test suites run on the device, unchanged and without cgo.
//
// With CONFORMANCE_TPM set to a program and its arguments ("swtpm socket") each
// TPM is a new process of that program instead: the baseline.
package simulator

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"

	"stubtpm/tools/hosted/tpmproc"
	"stubtpm/vtpm"
)

// ErrUsingClosedSimulator is returned by methods of a closed Simulator.
var ErrUsingClosedSimulator = errors.New("attempting to use a closed simulator")

// A Simulator is one TPM: a command is written, its response read.
type Simulator struct {
	tpm    tpm
	trace  *tpmproc.Trace
	rand   *rand.Rand
	buf    bytes.Buffer
	closed bool
}

type tpm interface {
	execute(cmd []byte) ([]byte, error)
	reset() error // _TPM_Init
	close() error
}

// Get manufactures a TPM and starts it.
func Get() (*Simulator, error) { return open(nil) }

// GetWithFixedSeedInsecure manufactures a TPM whose randomness follows from
// the seed.
func GetWithFixedSeedInsecure(seed int64) (*Simulator, error) {
	return open(rand.New(rand.NewSource(seed)))
}

func open(r *rand.Rand) (*Simulator, error) {
	trace, err := tpmproc.OpenTrace()
	if err != nil {
		return nil, err
	}
	s := &Simulator{rand: r, trace: trace}
	return s, s.manufacture()
}

func (s *Simulator) manufacture() (err error) {
	if program := strings.Fields(os.Getenv("CONFORMANCE_TPM")); len(program) > 0 {
		s.tpm, err = startProcess(program)
	} else {
		s.tpm, err = newDevice(s.rand)
	}
	if err != nil {
		return err
	}
	return s.simple(0x144) // TPM2_Startup(CLEAR)
}

// simple runs TPM2_Startup or TPM2_Shutdown with TPM_SU_CLEAR.
func (s *Simulator) simple(code uint32) error {
	cmd := binary.BigEndian.AppendUint32([]byte{0x80, 1, 0, 0, 0, 12}, code)
	rsp, err := s.tpm.execute(append(cmd, 0, 0))
	if err != nil {
		return err
	}
	if rc := binary.BigEndian.Uint32(rsp[6:]); rc != 0 {
		return fmt.Errorf("command 0x%X answered 0x%X", code, rc)
	}
	return nil
}

// Reset is a reboot.
func (s *Simulator) Reset() error {
	if s.closed {
		return ErrUsingClosedSimulator
	}
	if err := s.simple(0x145); err != nil { // TPM2_Shutdown(CLEAR)
		return err
	}
	if err := s.tpm.reset(); err != nil {
		return err
	}
	return s.simple(0x144)
}

// ManufactureReset is a reboot into a new TPM.
func (s *Simulator) ManufactureReset() error {
	if s.closed {
		return ErrUsingClosedSimulator
	}
	if err := s.tpm.close(); err != nil {
		return err
	}
	return s.manufacture()
}

// Write runs a command.
func (s *Simulator) Write(cmd []byte) (int, error) {
	if s.closed {
		return 0, ErrUsingClosedSimulator
	}
	rsp, err := s.tpm.execute(cmd)
	if err != nil {
		return 0, err
	}
	s.trace.Add(cmd, rsp)
	s.buf.Write(rsp)
	return len(cmd), nil
}

// Read returns the response.
func (s *Simulator) Read(p []byte) (int, error) {
	if s.closed {
		return 0, ErrUsingClosedSimulator
	}
	return s.buf.Read(p)
}

// Close ends the TPM.
func (s *Simulator) Close() error {
	if s.closed {
		return ErrUsingClosedSimulator
	}
	err := s.simple(0x145)
	s.closed = true
	return errors.Join(err, s.tpm.close(), s.trace.Close())
}

// IsClosed reports whether Close was called.
func (s *Simulator) IsClosed() bool { return s.closed }

// A device is the project's TPM, in this process, with its state in memory.
type device struct{ *vtpm.Device }

type memory struct{}

func (memory) Save([]byte) error { return nil }

func newDevice(r *rand.Rand) (tpm, error) {
	cfg := vtpm.Config{Store: memory{}}
	if r != nil {
		cfg.Rand = r
	}
	d, err := vtpm.Manufacture(cfg)
	return device{d}, err
}

func (d device) execute(cmd []byte) ([]byte, error) { return d.Execute(0, cmd), nil }
func (d device) reset() error                       { d.Init(); return nil }
func (d device) close() error                       { return nil }

// A process is another TPM, of the program that the environment names.
type process struct {
	proc *tpmproc.Process
	conn *tpmproc.Conn
	dir  string
}

func startProcess(program []string) (tpm, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	p, err := tpmproc.Start(program, dir, "--flags", "not-need-init")
	if err != nil {
		return nil, err
	}
	c, err := tpmproc.Dial(p.Data)
	if err != nil {
		p.Stop()
		return nil, err
	}
	return &process{p, c, dir}, nil
}

func (p *process) execute(cmd []byte) ([]byte, error) { return p.conn.Send(cmd) }

func (p *process) reset() error { return p.proc.PowerCycle() }

func (p *process) close() error {
	p.conn.Close()
	p.proc.Stop()
	return os.RemoveAll(p.dir)
}
