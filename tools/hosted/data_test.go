package hosted

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestData(t *testing.T) {
	t.Parallel()
	m := machine(t)
	d := &Data{Machine: m, AllowSetLocality: true}
	c := pipe(t, d.Serve)
	random := tpmCommand(0x17B, 0, 4)
	ok := append(errorResponse(0), 0, 0, 0, 0, 0, 0)
	wantBytes(t, "command", talk(t, c, random, len(ok)), ok)
	// In two pieces.
	c.Write(random[:3])
	time.Sleep(5 * time.Millisecond)
	wantBytes(t, "pieces", talk(t, c, random[3:], len(ok)), ok)
	// Framed: locality 2, answer with length and trailer.
	framed := append([]byte{0, 0, 0, 8, 2, 0, 0, 0, byte(len(random))}, random...)
	want := append(append(words(uint32(len(ok))), ok...), 0, 0, 0, 0)
	wantBytes(t, "framed", talk(t, c, framed, len(want)), want)
	m.mu.Lock()
	l := m.tpm.(*fakeTPM).locality
	m.mu.Unlock()
	if l != 2 {
		t.Errorf("locality %d", l)
	}
	wantBytes(t, "SetLocality", talk(t, c, tpmCommand(ccSetLocal, 3), 10), errorResponse(0))
	if m.Locality() != 3 {
		t.Error("locality was not set")
	}
	wantBytes(t, "SetLocality 5", talk(t, c, tpmCommand(ccSetLocal, 5), 10), errorResponse(rcLocality))
	// The largest command passes, one byte more ends the connection.
	wantBytes(t, "4096", talk(t, c, tpmCommand(0x999, make([]byte, 4086)...), 10), errorResponse(0x143))
	wantBytes(t, "4097", talk(t, c, tpmCommand(0x999, make([]byte, 4087)...), 10), errorResponse(rcCommandSize))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes more", n)
	}
}

// TestDataLargeBuffer: a client that asked for a larger buffer sends commands of that
// size, framed or not; one byte more ends the connection.
func TestDataLargeBuffer(t *testing.T) {
	t.Parallel()
	for _, want := range []uint32{3000, 4096, 8192} {
		m := machine(t)
		m.PowerOff()
		if n, err := m.SetBufferSize(want); n != want || err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if err := m.Start(false, StartupClear); err != nil {
			t.Fatal(err)
		}
		longest := max(want, 4096)
		c := pipe(t, (&Data{Machine: m}).Serve)
		cmd := tpmCommand(0x999, make([]byte, longest-10)...)
		wantBytes(t, "the longest", talk(t, c, cmd, 10), errorResponse(0x143))
		frame := append(words(frameCommand), 0)
		frame = append(append(frame, words(longest)...), cmd...)
		wantBytes(t, "framed", talk(t, c, frame, 18)[4:14], errorResponse(0x143))
		wantBytes(t, "one more", talk(t, c, tpmCommand(0x999, make([]byte, longest-9)...), 10), errorResponse(rcCommandSize))
	}
}

// A second client of the data channel waits until the first has left, and is
// served then.
func TestDataOneClient(t *testing.T) {
	t.Parallel()
	m := machine(t)
	l, err := Endpoint{Unix: true, Path: t.TempDir() + "/s", UID: -1, GID: -1}.Open()
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer()
	d := &Data{Machine: m}
	srv.Listen(l, 1, d.Serve, nil)
	dial := func() net.Conn {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		return c
	}
	random := tpmCommand(0x17B, 0, 4)
	first := dial()
	talk(t, first, random, 16)
	second := dial()
	second.Write(random)
	second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := second.Read(make([]byte, 16)); err == nil {
		t.Errorf("second client got %d bytes while the first is there", n)
	}
	first.Close()
	second.SetReadDeadline(time.Now().Add(5 * time.Second))
	talk(t, second, nil, 16)
	// Stop ends a client that is idle, and Wait returns.
	srv.Stop()
	srv.Wait()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("connection outlived the server")
	}
}

// A client that sends and does not read is no reason for Stop to wait long.
func TestStopFullClient(t *testing.T) {
	t.Parallel()
	d := &Data{Machine: machine(t)}
	srv := NewServer()
	c := pipe(t, func(conn net.Conn) { srv.Go(conn, d.Serve, nil) })
	cmd := tpmCommand(0x17B, 0, 4)
	for {
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Write(cmd); err != nil {
			break // the server is blocked, and its queue is full
		}
	}
	start := time.Now()
	srv.Stop()
	srv.Wait()
	if d := time.Since(start); d > partTimeout/2 {
		t.Errorf("Stop took %v", d)
	}
}

func TestDataDisconnect(t *testing.T) {
	t.Parallel()
	d := &Data{Machine: machine(t), Disconnect: true}
	c := pipe(t, d.Serve)
	talk(t, c, tpmCommand(0x17B, 0, 4), 16)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("connection is still open: %v", err)
	}
}

// FuzzData plays arbitrary bytes; the server must answer or leave.
func FuzzData(f *testing.F) {
	f.Add(tpmCommand(0x17B, 0, 4))
	f.Add([]byte{0, 0, 0, 8, 1, 0, 0, 0, 10})
	f.Add([]byte{0x80, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := &Data{Machine: machine(t)}
		c := pipe(t, d.Serve)
		c.Write(in)
		c.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
}
