package service

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// silicon is what a chip is made of: a TPM that can lose power.
type silicon interface {
	Execute(locality uint8, command []byte) []byte
	Init()       // reset, as _TPM_Init does
	cut() []byte // ends it, as a loss of power does, and returns its non-volatile memory
}

// swtpm is another maker's TPM, one process for each time it has power.
type swtpm struct {
	t    testing.TB
	dir  string
	cmd  *exec.Cmd
	conn net.Conn
}

const swtpmState = "tpm2-00.permall"

func newSwtpm(t testing.TB, state []byte) (*swtpm, error) {
	dir, err := os.MkdirTemp("", "swtpm") // a socket's path is short
	if err != nil {
		return nil, err
	}
	if state != nil {
		if err := os.WriteFile(filepath.Join(dir, swtpmState), state, 0o600); err != nil {
			return nil, err
		}
	}
	s := &swtpm{t: t, dir: dir}
	return s, s.start()
}

func (s *swtpm) start() error {
	path := filepath.Join(s.dir, "s")
	os.Remove(path)
	s.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir,
		"--server", "type=unixio,path="+path, "--flags", "not-need-init")
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			s.conn = c
			return nil
		}
		if time.Now().After(end) {
			s.stop()
			return err
		}
	}
}

func (s *swtpm) stop() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *swtpm) Init() {
	s.stop()
	if err := s.start(); err != nil {
		s.t.Error(err)
	}
}

func (s *swtpm) cut() []byte {
	s.stop()
	b, err := os.ReadFile(filepath.Join(s.dir, swtpmState))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Error(err)
	}
	os.RemoveAll(s.dir)
	return b
}

// failure is TPM_RC_FAILURE, as a whole response.
var failure = []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01}

func (s *swtpm) Execute(_ uint8, command []byte) []byte {
	s.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := s.conn.Write(command); err != nil {
		return failure
	}
	b := make([]byte, 10)
	if _, err := io.ReadFull(s.conn, b); err != nil {
		return failure
	}
	n := binary.BigEndian.Uint32(b[2:])
	if n < 10 || n > 4096 {
		return failure
	}
	b = append(b, make([]byte, n-10)...)
	if _, err := io.ReadFull(s.conn, b[10:]); err != nil {
		return failure
	}
	return b
}
