package hosted

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A fakeTPM answers TPM2_Startup, TPM2_Shutdown and TPM2_GetRandom; its state
// is one number, which each command 0x20000001 increases and saves.
type fakeTPM struct {
	store     Store
	counter   uint32
	started   bool
	cancelled atomic.Bool
	hash      []byte
	pcr17     [32]byte
	locality  uint8
	shutdowns int
}

const fakeCount = 0x20000001

func openFake(store Store, permanent, volatile []byte) (TPM, error) {
	f := &fakeTPM{store: store}
	if permanent == nil {
		return f, store.Save(make([]byte, 4))
	}
	if len(permanent) != 4 {
		return nil, errors.New("bad state")
	}
	f.counter = binary.BigEndian.Uint32(permanent)
	if volatile != nil {
		if len(volatile) != 32 {
			return nil, errors.New("bad volatile state")
		}
		f.started, f.pcr17 = true, [32]byte(volatile)
	}
	return f, nil
}

func (f *fakeTPM) Execute(locality uint8, cmd []byte) []byte {
	f.locality = locality
	if len(cmd) < headerSize || int(binary.BigEndian.Uint32(cmd[2:])) != len(cmd) {
		return errorResponse(rcCommandSize)
	}
	switch binary.BigEndian.Uint32(cmd[6:]) {
	case ccStartup:
		if f.started {
			return errorResponse(0x100)
		}
		f.started = true
		return errorResponse(0)
	case ccShutdown:
		f.shutdowns++
		return errorResponse(0)
	case fakeCount:
		f.counter++
		if f.store.Save(binary.BigEndian.AppendUint32(nil, f.counter)) != nil {
			return errorResponse(rcFailure)
		}
		return errorResponse(f.counter << 16)
	case 0x17B:
		if !f.started {
			return errorResponse(0x100)
		}
		return append(errorResponse(0), make([]byte, 6)...)
	}
	return errorResponse(0x143)
}

func (f *fakeTPM) Init()                     { f.started = false }
func (f *fakeTPM) Cancel()                   { f.cancelled.Store(true) }
func (f *fakeTPM) HashStart()                { f.hash = nil }
func (f *fakeTPM) HashData(p []byte)         { f.hash = append(f.hash, p...) }
func (f *fakeTPM) HashEnd()                  { f.pcr17 = sha256.Sum256(f.hash) }
func (f *fakeTPM) Volatile() ([]byte, error) { return f.pcr17[:], nil }

// machine returns a machine with a fake device on a new directory, powered on
// and started.
func machine(t testing.TB) *Machine {
	t.Helper()
	files, err := OpenStateDir(t.TempDir(), StateOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	m := NewMachine(openFake, files, nil)
	if err := m.Start(false, StartupClear); err != nil {
		t.Fatal(err)
	}
	return m
}

// pipe returns a client's end; serve has the other.
func pipe(t testing.TB, serve func(net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { serve(s); close(done) }()
	t.Cleanup(func() {
		c.Close()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("the server did not end when the client left")
		}
	})
	c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// talk sends bytes and reads n bytes of answer.
func talk(t testing.TB, c net.Conn, send []byte, n int) []byte {
	t.Helper()
	if _, err := c.Write(send); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if got, err := readFull(c, b); err != nil {
		t.Fatalf("answer to %x: %x, %v", send, b[:got], err)
	}
	return b
}

func readFull(c net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Read(b[n:])
		n += m
	}
	return n, err
}

func tpmCommand(code uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(body)))
	b = binary.BigEndian.AppendUint32(b, code)
	return append(b, body...)
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func fakeFactory(Logger, string) (Open, error) { return openFake, nil }

// TestMain lets the test binary be `stubtpm`: the tests start it as a process
// with the fake device.
func TestMain(m *testing.M) {
	args := os.Args[1:]
	if os.Getenv("HOSTED_TEST_MAIN") == "" || len(args) == 0 {
		os.Exit(m.Run())
	}
	open := fakeFactory
	var err error
	switch args[0] {
	case "socket":
		err = RunSocket(args[1:], open, "test", os.Stdout, os.Stderr)
	case "chardev":
		err = RunChardev(args[1:], open, "test", os.Stdout, os.Stderr)
	case "forbidden":
		err = tryForbidden(args[1], args[2], args[3])
	case "serve":
		err = RunServe(args[1:], open, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
