package hosted

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// heard is the locality at which the fake device ran its last command.
func heard(m *Machine) uint8 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tpm.(*fakeTPM).locality
}

// A command runs at the locality that was set when it was sent, on a
// connection that is there all the time, however it is cut in pieces.
func TestLocalityOfTheMoment(t *testing.T) {
	t.Parallel()
	m, ctrl := control(t)
	data := pipe(t, (&Data{Machine: m}).Serve)
	cmd := tpmCommand(0x17B, 0, 4)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		l := byte(r.UintN(5))
		cut := 0
		if i%4 == 3 { // it has begun to arrive when the locality is set
			cut = 1 + r.IntN(len(cmd)-1)
			data.Write(cmd[:cut])
			time.Sleep(time.Millisecond)
		}
		wantBytes(t, "set locality", talk(t, ctrl, append(words(5), l), 4), words(0))
		talk(t, data, cmd[cut:], 16)
		if got := heard(m); got != l {
			t.Fatalf("command %d ran at locality %d, %d was set", i, got, l)
		}
	}
}

func frame(locality byte, size int, cmd []byte, more ...byte) []byte {
	b := append(words(frameCommand), locality)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return append(append(b, cmd...), more...)
}

// No bytes on a plain channel, which a guest can choose, run a command at
// another locality than the one that was set; and the channel stays.
func TestPlainChannelLocality(t *testing.T) {
	t.Parallel()
	m, ctrl := control(t)
	data := pipe(t, (&Data{Machine: m, Plain: true}).Serve)
	cmd := tpmCommand(0x17B, 0, 4)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		set := byte(r.UintN(3))
		talk(t, ctrl, append(words(5), set), 4)
		inner := cmd
		if r.IntN(2) == 0 {
			inner = tpmCommand(0x17B, make([]byte, r.IntN(64))...)
		}
		send := frame(byte(r.UintN(6)), len(inner)+(r.IntN(3)-1)*r.IntN(2), inner)
		if r.IntN(2) == 0 { // as QEMU's tpm-crb: filled up to its buffer
			send = append(send, make([]byte, 3968-len(send))...)
		}
		if _, err := data.Write(send); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, fmt.Sprintf("frame %d", i), talk(t, data, nil, 10), errorResponse(rcCommandSize))
		talk(t, data, cmd, 16)
		if got := heard(m); got != set {
			t.Fatalf("after %x... a command ran at locality %d, %d was set", send[:20], got, set)
		}
	}
}

// A frame must be as long as the message and as the command in it.
func TestFrames(t *testing.T) {
	t.Parallel()
	cmd := tpmCommand(0x17B, 0, 4)
	short, long := bytes.Clone(cmd), bytes.Clone(cmd)
	short[5]--
	long[5]++
	for name, s := range map[string]struct {
		send []byte
		rc   uint32
	}{
		"exact":              {frame(2, len(cmd), cmd), 0},
		"bytes after it":     {frame(2, len(cmd), cmd, 0, 0, 0, 0), rcCommandSize},
		"as tpm-crb sends":   {frame(2, len(cmd), cmd, make([]byte, 3900)...), rcCommandSize},
		"command is shorter": {frame(2, len(cmd), short), rcCommandSize},
		"command is longer":  {frame(2, len(cmd), long), rcCommandSize},
		"locality 5":         {frame(5, len(cmd), cmd), rcLocality},
		"refused locality":   {frame(4, len(cmd), cmd), rcLocality},
	} {
		m := machine(t)
		m.rejectLocality4 = true
		data := pipe(t, (&Data{Machine: m}).Serve)
		rsp := talk(t, data, s.send, 14)
		if rc := binary.BigEndian.Uint32(rsp[10:]); rc != s.rc {
			t.Errorf("%s: 0x%X, want 0x%X", name, rc, s.rc)
		}
		if s.rc != 0 && heard(m) == 2 {
			t.Errorf("%s: a command ran", name)
		}
	}
}

// What a browser can be made to send to a TCP port does nothing: the body of an
// HTTP request is not taken for commands, wherever its segments end.
func TestControlHTTP(t *testing.T) {
	t.Parallel()
	for _, head := range []int{0, 60, 8192} {
		m := machine(t)
		ended := false
		ctrl := &Control{Machine: m, Shutdown: func() { ended = true }}
		c := pipe(t, ctrl.Serve)
		request := "POST / HTTP/1.1\r\nHost: localhost:2322\r\nContent-Length: 8\r\nX: "
		request += strings.Repeat("x", max(0, head-len(request)-4)) + "\r\n\r\n"
		c.Write([]byte(request))
		time.Sleep(20 * time.Millisecond)
		c.Write(words(cmdStop, cmdShutdown))
		c.(interface{ CloseWrite() error }).CloseWrite()
		rest, _ := io.ReadAll(c)
		if !m.Running() || ended {
			t.Errorf("head of %d bytes: running %v, ended %v", head, m.Running(), ended)
		}
		if len(rest) > 4 {
			t.Errorf("head of %d bytes: answered %x", head, rest)
		}
	}
}

// passFD sends one end of a socket pair by CMD_SET_DATAFD and returns the other.
func passFD(t *testing.T, ctrl net.Conn, kind int) net.Conn {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, kind, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ctrl.(*net.UnixConn).WriteMsgUnix(words(cmdSetDataFD), syscall.UnixRights(pair[1]), nil); err != nil {
		t.Fatal(err)
	}
	syscall.Close(pair[1])
	wantBytes(t, "CMD_SET_DATAFD", talk(t, ctrl, nil, 4), words(0))
	data, err := connFD(pair[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	data.SetDeadline(time.Now().Add(5 * time.Second))
	return data
}

// However many data channels a client passes, one is served: the last. Only
// its end is the end of the client.
func TestOneDataChannel(t *testing.T) {
	m := machine(t)
	srv := NewServer()
	left := make(chan bool, 1)
	d := &Data{Machine: m, Plain: true}
	ctrl := &Control{Machine: m, DataFD: (&single{server: srv, serve: d.Serve, left: func() { left <- true }}).replace}
	c := pipe(t, ctrl.Serve)
	before, _ := os.ReadDir("/proc/self/fd")
	cmd := tpmCommand(0x17B, 0, 4)
	var last net.Conn
	for range 50 {
		old := last
		last = passFD(t, c, syscall.SOCK_STREAM)
		talk(t, last, cmd, 16)
		if old != nil {
			if _, err := old.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("the old channel: %v", err)
			}
			old.Close()
		}
	}
	after, _ := os.ReadDir("/proc/self/fd")
	if len(after) > len(before)+10 {
		t.Errorf("%d descriptors, %d before", len(after), len(before))
	}
	select {
	case <-left:
		t.Error("a channel that was replaced counts as a client that left")
	default:
	}
	last.Close()
	<-left
	srv.Stop()
	srv.Wait()
	// A channel that comes late does not block its client.
	late, _ := net.Pipe()
	ctrl.DataFD(late)
	ctrl.DataFD(late)
}

// Stop ends data channels of each kind of socket, and reads no more.
func TestStopSocketKinds(t *testing.T) {
	for name, kind := range map[string]int{"stream": syscall.SOCK_STREAM, "datagram": syscall.SOCK_DGRAM, "packets": syscall.SOCK_SEQPACKET} {
		m := machine(t)
		srv := NewServer()
		ctrl := &Control{Machine: m, DataFD: (&single{server: srv, serve: (&Data{Machine: m}).Serve}).replace}
		data := passFD(t, pipe(t, ctrl.Serve), kind)
		if _, err := data.Write(tpmCommand(0x17B, 0, 4)); err != nil {
			t.Fatal(err)
		}
		if n, err := data.Read(make([]byte, 64)); n != 16 {
			t.Errorf("%s: answer of %d bytes, %v", name, n, err)
		}
		done := make(chan bool)
		go func() { srv.Stop(); srv.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the channel does not end", name)
		}
	}
}

// A blob leaves under the migration key where there is one, whatever the flag
// says; else under the file key unless the flag asks for plain. It comes back.
func TestBlobKeys(t *testing.T) {
	t.Parallel()
	file, _ := newKey(bytes.Repeat([]byte{1}, 32))
	migration, _ := newKey(bytes.Repeat([]byte{2}, 32))
	for _, keys := range [][2]*stateKey{{nil, nil}, {file, nil}, {nil, migration}, {file, migration}} {
		for _, flags := range []uint32{0, stateDecrypted} {
			m := machine(t)
			m.files.opt.key = keys[0]
			m.files.Save([]byte{0, 0, 0, 7})
			c := pipe(t, (&Control{Machine: m, MigrationKey: keys[1]}).Serve)
			under := keys[1]
			if under == nil && flags == 0 {
				under = keys[0]
			}
			wantFlags := uint32(0)
			if under != nil {
				wantFlags = stateEncrypted
			}
			for _, typ := range []BlobType{BlobPermanent, BlobVolatile} {
				head := talk(t, c, words(12, flags, uint32(typ), 0), 16)
				if rc, f := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:]); rc != 0 || f != wantFlags {
					t.Fatalf("keys %v, flags %d: result 0x%X, flags %d", keys, flags, rc, f)
				}
				blob := talk(t, c, nil, int(binary.BigEndian.Uint32(head[12:])))
				if under != nil {
					if _, err := openFile(typ, blob, under); err != nil {
						t.Errorf("keys %v, flags %d: %v", keys, flags, err)
					}
				}
				talk(t, c, words(cmdStop), 4)
				set := append(words(13, wantFlags, uint32(typ), uint32(len(blob))), blob...)
				if keys[1] != nil { // a plain one is of somebody who has not the key
					plain := append(words(13, 0, uint32(typ), 4), 0, 0, 0, 9)
					if rc := talk(t, c, plain, 4); bytes.Equal(rc, words(0)) {
						t.Errorf("keys %v: a plain blob is taken", keys)
					}
				}
				wantBytes(t, "set blob", talk(t, c, set, 4), words(0))
				wantBytes(t, "init", talk(t, c, words(cmdInit, 0), 4), words(0))
			}
		}
	}
}
