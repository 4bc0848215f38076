package vtpmmgr

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

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
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

// swtpm starts another maker's TPM on a state directory; stop ends it as a
// loss of power does.
func swtpm(t *testing.T, state string) (tpm transport.TPM, stop func()) {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		if testing.Short() {
			t.Skip("swtpm is not installed: the manager was not tested against another maker's TPM")
		}
		t.Fatal("swtpm is not installed: apt-get install swtpm, or go test -short")
	}
	dir, err := os.MkdirTemp("", "swtpm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--server", "type=unixio,path="+path, "--flags", "not-need-init")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
			os.RemoveAll(dir)
		}
	}
	t.Cleanup(stop)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return socket{c}, stop
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestOtherMaker runs the manager's life on swtpm: restarts of the TPM, other
// PCRs, a cleared TPM, another TPM.
func TestOtherMaker(t *testing.T) {
	t.Parallel()
	state, disk := t.TempDir(), blocktest.NewMem(testDisk)
	tpm, stop := swtpm(t, state)
	config := func(tpm transport.TPM) Config { return Config{TPM: tpm, Disk: disk, Log: t.Logf} }

	bus := &tapped{TPM: tpm}
	m := newTestManager(t, bus, disk)
	if err := enroll(connect(t, m, Peer{}), testUUID); err != nil {
		t.Fatal(err)
	}
	c := connect(t, m, Peer{Domain: 5, UUID: testUUID})
	if _, err := c.Load(); err != nil {
		t.Fatal(err)
	}
	if err := commit(c, 1, [32]byte{1}, [32]byte{2}); err != nil {
		t.Fatal(err)
	}
	if b, err := c.Random(64); err != nil || len(b) != 64 {
		t.Fatal(err)
	}

	// A reset of the TPM under a running manager: the next command works.
	stop()
	tpm, _ = swtpm(t, state)
	bus.TPM = tpm
	if b, err := c.Random(32); err != nil || len(b) != 32 {
		t.Fatalf("after a reset of the TPM: %v", err)
	}
	if err := commit(c, 2, [32]byte{1}, [32]byte{2}); err != nil {
		t.Fatalf("after a reset of the TPM: %v", err)
	}

	m, err := Open(config(tpm))
	if err != nil {
		t.Fatalf("same TPM after a reset: %v", err)
	}
	g, err := connect(t, m, Peer{Domain: 6, UUID: testUUID}).Load()
	if err != nil || g.State.Sequence != 2 || g.State.Key != [32]byte{2} {
		t.Fatalf("after a reset: %+v, %v", g, err)
	}

	other, _ := swtpm(t, t.TempDir())
	if _, err := Open(config(other)); !errors.Is(err, hwtpm.ErrOtherTPM) {
		t.Errorf("another TPM: %v", err)
	}
	extendPCR(t, tpm, 7)
	for range 20 { // more than a TPM has room for objects and sessions
		if _, err := Open(config(tpm)); !errors.Is(err, hwtpm.ErrPCR) {
			t.Fatalf("other PCRs: %v", err)
		}
	}
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(config(tpm)); !errors.Is(err, hwtpm.ErrCleared) {
		t.Errorf("cleared TPM: %v", err)
	}
}

// TestMoveOtherMaker moves to new NV indices on swtpm after some starts of the host: its
// rule for a new counter is the same.
func TestMoveOtherMaker(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	tpm, stop := swtpm(t, state)
	w := newMoveWorldOn(t, tpm, ledger.Mode{Daily: 54})
	for range 6 {
		w.must(w.m.Close())
		stop()
		w.cfg.TPM, stop = swtpm(t, state)
		w.open()
	}
	for range 2 {
		w.must(w.m.Close())
		w.move()
		w.commit()
		w.must(w.m.Close())
		w.open()
		w.look()
	}
}

// A tapped TPM shows what goes over its bus.
type tapped struct {
	transport.TPM
	seen []byte
}

func (b *tapped) Send(command []byte) ([]byte, error) {
	response, err := b.TPM.Send(command)
	b.seen = append(append(b.seen, command...), response...)
	return response, err
}
