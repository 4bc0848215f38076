package hosted

import (
	"encoding/binary"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func control(t testing.TB) (*Machine, net.Conn) {
	m := machine(t)
	ctrl := &Control{Machine: m}
	return m, pipe(t, ctrl.Serve)
}

// TestControlWire has the bytes that swtpm_ioctl 0.7.1 sends and expects.
func TestControlWire(t *testing.T) {
	t.Parallel()
	_, c := control(t)
	for _, s := range []struct {
		name       string
		send, want []byte
	}{
		{"capability", words(1), []byte{0, 0, 0, 0, 0, 1, 0xFF, 0xFF}},
		{"init", words(2, 1), words(0)},
		{"established", words(4), words(0, 0)},
		{"locality", append(words(5), 3), words(0)},
		{"locality of QEMU", append(words(5), 1, 0, 0, 0), words(0)},
		{"locality 5", append(words(5), 5), words(resBadLocality)},
		{"hash start", words(6), words(0)},
		{"hash data", append(words(7, 3), "abc"...), words(0)},
		{"hash end", words(8), words(0)},
		{"established after", words(4), []byte{0, 0, 0, 0, 1, 0, 0, 0}},
		{"reset established at 2", append(words(11), 2), words(resBadLocality)},
		{"reset established", append(words(11), 3), words(0)},
		{"cancel", words(9), words(0)},
		{"store volatile", words(10), words(0)},
		{"config", words(15), words(0, 0)},
		{"buffer size", words(17, 0), words(0, 4096, 2808, 8192)},
		{"buffer size of running TPM", words(17, 3000), words(resBadOrdinal, 4096, 2808, 8192)},
		{"state", words(12, 1, 1, 0), words(0, 0, 4, 4, 0)},
		{"state from 2", words(12, 1, 1, 2), append(words(0, 0, 4, 2), 0, 0)},
		{"state past the end", words(12, 1, 1, 5), words(resBadParameter, 0, 0, 0)},
		{"state of no type", words(12, 1, 9, 0), words(resBadParameter, 0, 0, 0)},
		{"set state of running TPM", words(13, 0, 1, 4, 7), words(resBadOrdinal)},
		{"stop", words(14), words(0)},
		{"established of stopped TPM", words(4), words(resBadOrdinal, 0)},
		{"smallest buffer", words(17, 1), words(0, 2808, 2808, 8192)},
		{"set state", words(13, 0, 1, 4, 7), words(0)},
		{"init with it", words(2, 0), words(0)},
		{"state set", words(12, 1, 1, 0), words(0, 0, 4, 4, 7)},
		{"data descriptor without one", words(16), words(resBadParameter)},
		{"lock", words(19, 3), words(0)},
		{"unknown, which ends the connection", words(0x77), words(resBadOrdinal)},
	} {
		wantBytes(t, s.name, talk(t, c, s.send, len(s.want)), s.want)
	}
}

// A state that the device refuses must not take the old one's place.
func TestSetStateRefused(t *testing.T) {
	t.Parallel()
	m, c := control(t)
	m.Execute(0, tpmCommand(fakeCount))
	talk(t, c, words(14), 4)
	talk(t, c, append(words(13, 0, 1, 3), 1, 2, 3), 4)
	if r := talk(t, c, words(2, 0), 4); binary.BigEndian.Uint32(r) == 0 {
		t.Fatal("a bad state was accepted")
	}
	old, err := m.files.Load(BlobPermanent)
	if err != nil || binary.BigEndian.Uint32(old) != 1 {
		t.Errorf("state is now %x, %v", old, err)
	}
}

// Requests may come in pieces.
func TestControlPieces(t *testing.T) {
	t.Parallel()
	_, c := control(t)
	for range 3 {
		for _, b := range append(words(7, 3), "abc"...) {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		wantBytes(t, "answer", talk(t, c, nil, 4), words(0))
	}
}

func TestControlInfo(t *testing.T) {
	t.Parallel()
	_, c := control(t)
	head := talk(t, c, words(18, 0, 2, 0, 0), 12)
	n := binary.BigEndian.Uint32(head[8:])
	text := string(talk(t, c, nil, int(n)))
	if !strings.HasPrefix(text, `{"TPMAttributes":{"manufacturer":"id:`) || !strings.HasSuffix(text, "}\x00") {
		t.Errorf("info %q", text)
	}
}

// TestSetDataFD passes a socket as QEMU does and uses it.
func TestSetDataFD(t *testing.T) {
	t.Parallel()
	m := machine(t)
	srv := NewServer()
	defer srv.Stop()
	d := &Data{Machine: m}
	ctrl := &Control{Machine: m, DataFD: func(c net.Conn) { srv.Go(c, d.Serve, nil) }}
	c := pipe(t, ctrl.Serve).(*net.UnixConn)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.WriteMsgUnix(words(16), syscall.UnixRights(pair[1]), nil); err != nil {
		t.Fatal(err)
	}
	syscall.Close(pair[1])
	wantBytes(t, "answer", talk(t, c, nil, 4), words(0))
	data, err := connFD(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	data.SetDeadline(time.Now().Add(5 * time.Second))
	wantBytes(t, "GetRandom", talk(t, data, tpmCommand(0x17B, 0, 4), 10)[6:], words(0))
}

// FuzzControl plays arbitrary bytes; the server must answer or leave.
func FuzzControl(f *testing.F) {
	for cmd := uint32(0); cmd < 20; cmd++ {
		f.Add(words(cmd, 0, 1, 4, 0))
	}
	f.Add(words(7, 0xFFFFFFFF, 0))
	f.Add(words(13, 0, 1, 0xFFFFFFFF))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := machine(t)
		ctrl := &Control{Machine: m}
		c := pipe(t, ctrl.Serve)
		c.Write(in)
		c.(*net.UnixConn).CloseWrite()
		for {
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				break
			}
		}
	})
}

// TestControlClientLeaves has a client close its end with an answer unread:
// the next read is an error then, ECONNRESET, not the end of the stream.
func TestControlClientLeaves(t *testing.T) {
	t.Parallel()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "control")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	ctrl := &Control{Machine: machine(t)}
	done := make(chan struct{})
	go func() {
		ctrl.Serve(conn)
		close(done)
	}()
	if _, err := syscall.Write(fds[1], words(1)); err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	if _, _, err := syscall.Recvfrom(fds[1], one[:], syscall.MSG_PEEK); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fds[1])
	<-done
}
