package identity

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

	"github.com/google/go-tpm/tpm2/transport"
)

// A socket is a TPM at the other end of a stream: swtpm's data channel.
type socket struct{ c net.Conn }

func (s socket) Send(command []byte) ([]byte, error) {
	s.c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := s.c.Write(command); err != nil {
		return nil, err
	}
	b := make([]byte, 10)
	if _, err := io.ReadFull(s.c, b); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b[2:])
	if n < 10 || n > 4096 {
		return nil, errors.New("swtpm: response of a bad size")
	}
	b = append(b, make([]byte, n-10)...)
	_, err := io.ReadFull(s.c, b[10:])
	return b, err
}

// swtpm starts another maker's TPM.
func swtpm(t *testing.T) transport.TPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if testing.Short() {
			t.Skip("swtpm is not installed: the manager's identity was not tested against another maker's TPM")
		}
		t.Fatal("swtpm is not installed: apt-get install swtpm, or go test -short")
	}
	dir, err := os.MkdirTemp("", "swtpm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+t.TempDir(),
		"--server", "type=unixio,path="+path, "--flags", "not-need-init")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return socket{c}
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
