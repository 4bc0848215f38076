// Package tpmproc starts a TPM as a Linux process, Debian's swtpm or this
// project's stubtpm, and speaks TPM commands to it over its unix socket. Both
// take the same options.
package tpmproc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Process is a running TPM.
type Process struct {
	// Data and Control are the paths of its sockets.
	Data, Control string

	cmd  *exec.Cmd
	done chan struct{}
	err  error
	out  *buffer
}

// buffer keeps the beginning of what a process prints.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const maxOutput = 64 << 10

func (w *buffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p[:min(len(p), maxOutput-w.b.Len())])
	return len(p), nil
}

func (w *buffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// Swtpm is the argument list that starts Debian's swtpm, without options.
func Swtpm() ([]string, error) {
	path, err := exec.LookPath("swtpm")
	if err != nil {
		return nil, errors.New("swtpm is not installed (package swtpm)")
	}
	return []string{path, "socket"}, nil
}

// Build compiles stubtpm of the module in the current directory into dir and
// returns the argument list that starts it.
func Build(dir string) ([]string, error) {
	out := filepath.Join(dir, "stubtpm")
	cmd := exec.Command("go", "build", "-o", out, "stubtpm/tools/stubtpm")
	if b, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build stubtpm: %w: %s", err, b)
	}
	return []string{out, "socket"}, nil
}

// Start runs a TPM with its state and sockets in dir, and waits until it
// listens. extra are further options; without any it is started up.
func Start(program []string, dir string, extra ...string) (*Process, error) {
	if len(extra) == 0 {
		extra = []string{"--flags", "not-need-init,startup-clear"}
	}
	data := filepath.Join(dir, "sock")
	p, err := start(program, dir, append([]string{"--server", "type=unixio,path=" + data}, extra...))
	if p != nil {
		p.Data = data
	}
	return p, err
}

// StartForQEMU runs a TPM that has a control socket only, by which QEMU gives
// it the data channel. It ends when QEMU does. extra are further options; a
// later --tpmstate counts.
func StartForQEMU(program []string, dir string, extra ...string) (*Process, error) {
	return start(program, dir, append([]string{"--terminate"}, extra...))
}

func start(program []string, dir string, extra []string) (*Process, error) {
	p := &Process{Control: filepath.Join(dir, "sock.ctrl"), done: make(chan struct{}), out: new(buffer)}
	args := append(program[1:len(program):len(program)], "--tpm2", "--tpmstate", "dir="+dir,
		"--ctrl", "type=unixio,path="+p.Control)
	p.cmd = exec.Command(program[0], append(args, extra...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	for range 1000 {
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s ended: %w: %s", program[0], p.err, p.out)
		case <-time.After(10 * time.Millisecond):
		}
		if serves(p.Control) {
			return p, nil
		}
	}
	p.Stop()
	return nil, fmt.Errorf("%s does not listen: %s", program[0], p.out)
}

// serves reports whether a TPM answers on its control channel. That its socket
// takes a connection is not enough: it does so before the state is loaded.
func serves(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte{0, 0, 0, 1}); err != nil { // CMD_GET_CAPABILITY
		return false
	}
	_, err = c.Read(make([]byte, 8))
	return err == nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what it printed, its beginning.
func (p *Process) Output() string { return p.out.String() }

// Stop ends the process by SIGTERM, and by SIGKILL after 5 seconds.
func (p *Process) Stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
	return p.err
}

// RSS is the process's resident memory and its peak, in bytes.
func (p *Process) RSS() (now, peak int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	for _, line := range bytes.Split(b, []byte("\n")) {
		var kb int64
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kb); err == nil {
			now = kb << 10
		}
		if _, err := fmt.Sscanf(string(line), "VmHWM: %d kB", &kb); err == nil {
			peak = kb << 10
		}
	}
	return now, peak
}

// A Conn is a client of the data socket. It is a transport.TPM of google/go-tpm.
type Conn struct {
	conn    net.Conn
	buf     [8192]byte
	execute func([]byte) []byte // in place of conn

	timed   bool
	elapsed time.Duration
}

// Dial connects to the data socket.
func Dial(path string) (*Conn, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: c}, nil
}

// Direct returns a client of a function in this process.
func Direct(execute func([]byte) []byte) *Conn { return &Conn{execute: execute} }

// Send runs one command.
func (c *Conn) Send(cmd []byte) ([]byte, error) {
	start := time.Now()
	if c.execute != nil {
		rsp := c.execute(cmd)
		if c.timed {
			c.elapsed += time.Since(start)
		}
		return rsp, nil
	}
	n, err := c.exchange(cmd)
	if c.timed {
		c.elapsed += time.Since(start)
	}
	return append([]byte(nil), c.buf[:n]...), err
}

func (c *Conn) exchange(cmd []byte) (int, error) {
	if _, err := c.conn.Write(cmd); err != nil {
		return 0, err
	}
	n := 0
	for n < 10 || n < int(binary.BigEndian.Uint32(c.buf[2:])) {
		m, err := c.conn.Read(c.buf[n:])
		n += m
		if err != nil {
			return n, err
		}
		if n >= 10 && binary.BigEndian.Uint32(c.buf[2:]) > uint32(len(c.buf)) {
			return n, io.ErrShortBuffer
		}
	}
	return n, nil
}

// Timed returns the time that the commands sent by f took on the socket; it
// leaves out what f itself computes.
func (c *Conn) Timed(f func() error) (time.Duration, error) {
	c.timed, c.elapsed = true, 0
	err := f()
	c.timed = false
	return c.elapsed, err
}

// Close ends the connection.
func (c *Conn) Close() error {
	if c.execute != nil {
		return nil
	}
	return c.conn.Close()
}

// PowerCycle sends CMD_INIT on the control channel: _TPM_Init.
func (p *Process) PowerCycle() error {
	c, err := net.Dial("unix", p.Control)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte{0, 0, 0, 2, 0, 0, 0, 0}); err != nil {
		return err
	}
	var b [4]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if rc := binary.BigEndian.Uint32(b[:]); rc != 0 {
		return fmt.Errorf("CMD_INIT answered 0x%X", rc)
	}
	return nil
}
