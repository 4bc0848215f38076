package tpmproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// TraceVariable names the environment variable that holds the file to which a
// Trace is written.
const TraceVariable = "CONFORMANCE_TRACE"

// A Trace is a file with one line for each command: the response code and the
// command, both in hexadecimal. Several processes may write to one file. A nil
// Trace writes nothing.
type Trace struct {
	mu sync.Mutex
	f  *os.File
}

// OpenTrace opens the file that the environment names, nil if it names none.
func OpenTrace() (*Trace, error) {
	name := os.Getenv(TraceVariable)
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &Trace{f: f}, nil
}

// Add writes a command and its response.
func (t *Trace) Add(cmd, rsp []byte) {
	if t == nil || len(rsp) < 10 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.f, "%03x %x\n", binary.BigEndian.Uint32(rsp[6:]), cmd)
}

// Close closes the file.
func (t *Trace) Close() error {
	if t == nil {
		return nil
	}
	return t.f.Close()
}

// Tap listens in a new directory dir as the TPM would, passes commands on and
// adds them to the trace. It returns the path of its data socket; the control
// socket is the TPM's own by a link. It ends with the returned function.
func (p *Process) Tap(dir string, t *Trace) (path string, end func() error, err error) {
	path = filepath.Join(dir, "tap")
	if err := os.Symlink(p.Control, path+".ctrl"); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return "", nil, err
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() {
				p.pass(c, t)
				c.Close()
			})
		}
	})
	return path, func() error {
		err := l.Close()
		clients.Wait()
		return err
	}, nil
}

// pass serves one client to its end.
func (p *Process) pass(client net.Conn, t *Trace) error {
	tpm, err := Dial(p.Data)
	if err != nil {
		return err
	}
	defer tpm.Close()
	for {
		cmd := make([]byte, 10, 4096)
		if _, err := io.ReadFull(client, cmd); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(cmd[2:])
		if n < 10 || n > 4096 {
			return errors.New("no command")
		}
		cmd = cmd[:n]
		if _, err := io.ReadFull(client, cmd[10:]); err != nil {
			return err
		}
		rsp, err := tpm.Send(cmd)
		if err != nil {
			return err
		}
		t.Add(cmd, rsp)
		if _, err := client.Write(rsp); err != nil {
			return err
		}
	}
}
