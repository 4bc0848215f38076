package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stubtpm/tools/vtpmproxy"
)

// command is a TPM command of a code and a body.
func command(code uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	echo := func(cmd []byte) ([]byte, error) { return append([]byte("to the TPM: "), cmd...), nil }
	for _, c := range []struct {
		name      string
		cmd, want []byte
	}{
		{"locality 0", command(ccSetLocality, 0), response(rcSuccess)},
		{"locality 3", command(ccSetLocality, 3), response(rcLocality)},
		{"no locality", command(ccSetLocality), response(rcLocality)},
		{"GetRandom", command(0x17B, 0, 8), append([]byte("to the TPM: "), command(0x17B, 0, 8)...)},
		{"short", []byte{0x80}, []byte("to the TPM: \x80")},
	} {
		if got := answer(c.cmd, echo); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x", c.name, got)
		}
	}
	broken := func([]byte) ([]byte, error) { return nil, errors.New("away") }
	if got := answer(command(0x17B, 0, 8), broken); !bytes.Equal(got, response(rcFailure)) {
		t.Errorf("TPM away: %x", got)
	}
}

// TestFind has a sysfs with two TPMs, the second of them xen-tpmfront's.
func TestFind(t *testing.T) {
	t.Parallel()
	class := t.TempDir()
	if _, err := find(class); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	for tpm, driver := range map[string]string{"tpm0": "tpm_tis", "tpm3": "vtpm"} {
		dir := filepath.Join(class, tpm, "device")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../bus/drivers/"+driver, filepath.Join(dir, "driver")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := find(class); got != "/dev/tpm3" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(command(ccSetLocality, 0))
	f.Add(command(0x17B, 0, 8))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, cmd []byte) {
		rsp := answer(cmd, func([]byte) ([]byte, error) { return nil, io.ErrUnexpectedEOF })
		if len(rsp) != headerSize {
			t.Fatalf("response of %d bytes", len(rsp))
		}
	})
}

// TestBridge passes commands through pipes that keep messages apart.
func TestBridge(t *testing.T) {
	t.Parallel()
	pair := func() (a, b *os.File) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	}
	kernel, server := pair()
	front, tpm := pair()
	go func() {
		buf := make([]byte, maxMessage)
		for {
			n, err := tpm.Read(buf)
			if err != nil || n == 0 {
				return
			}
			tpm.Write(append(response(rcSuccess), buf[:n]...))
		}
	}()
	done := make(chan error)
	go func() { done <- bridge(server, &backend{path: "/nonexistent", f: front}) }()
	buf := make([]byte, maxMessage)
	for _, size := range []int{0, 8, 4000} {
		cmd := command(0x17B, make([]byte, size)...)
		if _, err := kernel.Write(cmd); err != nil {
			t.Fatal(err)
		}
		n, err := kernel.Read(buf)
		if err != nil || !bytes.Equal(buf[headerSize:n], cmd) {
			t.Fatalf("command of %d bytes: response of %d bytes, %v", len(cmd), n, err)
		}
	}
	kernel.Close()
	if err := <-done; err == nil {
		t.Error("the bridge ended without an error")
	}
}

// A proxy is the kernel's side. The test sets its commands and the results of writes.
type proxy struct {
	commands [][]byte
	writes   []error
}

func (p *proxy) Read(b []byte) (int, error) {
	if len(p.commands) == 0 {
		return 0, unix.EPIPE
	}
	n := copy(b, p.commands[0])
	p.commands = p.commands[1:]
	return n, nil
}

func (p *proxy) Write(b []byte) (int, error) {
	err := p.writes[0]
	p.writes = p.writes[1:]
	return len(b), err
}

// TestLateAnswer: a response that the kernel does not wait for any more is dropped,
// and the bridge continues.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	locality := command(ccSetLocality, 0)
	p := &proxy{commands: [][]byte{locality, locality, locality}, writes: []error{nil, unix.EIO, nil}}
	if err := bridge(p, nil); !errors.Is(err, unix.EPIPE) || len(p.commands) != 0 || len(p.writes) != 0 {
		t.Errorf("%v, %d commands and %d answers are left", err, len(p.commands), len(p.writes))
	}
}

// TestGivenUp: the kernel abandons the first devices during their registration.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	tpm := filepath.Join(t.TempDir(), "tpm")
	if err := os.WriteFile(tpm, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	made := 0
	newDevice := func() (*vtpmproxy.Device, error) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		if made++; made < 3 {
			unix.Close(fds[1])
		} else {
			// This one would never end.
			t.Cleanup(func() { unix.Close(fds[1]) })
			time.AfterFunc(50*time.Millisecond, cancel)
		}
		return &vtpmproxy.Device{Number: 1 << 31, Server: os.NewFile(uintptr(fds[0]), "server")}, nil
	}
	var log bytes.Buffer
	if err := serve(ctx, tpm, "", newDevice, &log); err != nil || made != 3 {
		t.Errorf("%d devices, %v\n%s", made, err, log.String())
	}
	if strings.Count(log.String(), "once more in") != 2 {
		t.Errorf("it said:\n%s", log.String())
	}
}

// TestNotify receives notifications like systemd.
func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	if err := notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}
