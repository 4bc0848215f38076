package hosted

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

func TestSim(t *testing.T) {
	t.Parallel()
	m := machine(t)
	sim := &simulator{Machine: m}
	cmd, plat := pipe(t, sim.ServeCommand), pipe(t, sim.ServePlatform)
	wantBytes(t, "handshake", talk(t, cmd, words(15, 1), 12), words(1, 5, 0))
	random := tpmCommand(0x17B, 0, 4)
	send := append(append(words(8), 0), words(uint32(len(random)))...)
	answer := talk(t, cmd, append(send, random...), 24)
	if binary.BigEndian.Uint32(answer) != 16 || binary.BigEndian.Uint32(answer[10:]) != 0 {
		t.Errorf("GetRandom %x", answer)
	}
	wantBytes(t, "NV on", talk(t, plat, words(11), 4), words(0))
	wantBytes(t, "power off", talk(t, plat, words(2), 4), words(0))
	wantBytes(t, "reset without power", talk(t, plat, words(17), 4), words(1))
	wantBytes(t, "power on", talk(t, plat, words(1), 4), words(0))
	wantBytes(t, "hash", talk(t, cmd, append(words(5, 6, 3), 'a', 'b', 'c', 0, 0, 0, 7), 12), words(0, 0, 0))
	wantBytes(t, "cancel", talk(t, plat, words(9), 4), words(0))
	if _, err := cmd.Write(words(20)); err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("session did not end: %v", err)
	}
}

func FuzzSim(f *testing.F) {
	for code := uint32(0); code < 30; code++ {
		f.Add(words(code, 4, 0, 1))
	}
	f.Add(append(words(8), 0, 0xFF, 0xFF, 0xFF, 0xFF))
	f.Fuzz(func(t *testing.T, in []byte) {
		sim := &simulator{Machine: machine(t)}
		c := pipe(t, sim.ServeCommand)
		c.Write(in)
		c.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
}
