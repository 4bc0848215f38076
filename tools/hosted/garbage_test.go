package hosted_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/tools/hosted/tpmproc"
)

// TestGarbage sends the real device, as a process, damaged commands on the data
// channel and nonsense on the control channel, whole, cut and by clients that
// do not read, for two seconds. It must answer afterwards, end in order,
// and to have a state that loads.
func TestGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: not with -short")
	}
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("5a", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	options := []string{"--flags", "startup-clear", "--key", "mode=aes-256-cbc,file=" + key, "--no-sync"}
	tpm, err := tpmproc.Start(program, state, options...)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	var answers [3]int
	for i := range answers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Now().Before(end) {
				path, send := tpm.Data, damaged(r)
				if i == 2 {
					path, send = tpm.Control, nonsense(r)
				}
				if throw(r, path, send) {
					answers[i]++
				}
			}
		})
	}
	wg.Wait()
	if answers[0]+answers[1] < 100 || answers[2] == 0 {
		t.Errorf("answers on data %d and %d, on control %d: the test does too little", answers[0], answers[1], answers[2])
	}
	for range 2 {
		c, err := tpmproc.Dial(tpm.Data)
		if err != nil {
			t.Fatal(err, tpm.Output())
		}
		rsp, err := c.Send(getRandom)
		if err != nil || len(rsp) != 44 {
			t.Errorf("afterwards GetRandom answers %x, %v", rsp, err)
		}
		c.Close()
		if err := tpm.Stop(); err != nil {
			t.Errorf("exit: %v: %s", err, tpm.Output())
		}
		if tpm, err = tpmproc.Start(program, state, options...); err != nil {
			t.Fatalf("start with the state it left: %v", err)
		}
	}
	tpm.Stop()
	if _, err := tpmproc.Start(program, state, "--flags", "startup-clear"); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("start without the key: %v", err)
	}
}

var getRandom = []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7B, 0, 32}

// damaged is a command with a code that exists and a random body.
func damaged(r *rand.Rand) []byte {
	b := make([]byte, 10+r.IntN(120))
	for i := range b {
		b[i] = byte(r.UintN(8)) * byte(r.UintN(2))
	}
	binary.BigEndian.PutUint16(b, 0x8001+uint16(r.UintN(2)))
	binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	code := 0x11F + r.Uint32N(0x8D)
	if code == 0x145 || code == 0x126 { // TPM2_Shutdown, TPM2_Clear: leave it at work
		code = 0x17B
	}
	binary.BigEndian.PutUint32(b[6:], code)
	if len(b) > 27 && r.IntN(2) == 0 { // a password session for a handle
		copy(b[10:], []byte{0x40, 0, 0, byte(1 + r.UintN(12)), 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0})
	}
	if r.IntN(10) == 0 { // a wrong length
		binary.BigEndian.PutUint32(b[2:], r.Uint32())
	}
	return b
}

// nonsense is a control request that must not do anything: unknown, or cut, or
// a state blob for a TPM that runs.
func nonsense(r *rand.Rand) []byte {
	b := make([]byte, 16+r.IntN(64))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	codes := []uint32{0x0C, 0x0D, 0x11, 0x12, 0x04, 0x0F, 0xFFFFFFFF, 0x14}
	binary.BigEndian.PutUint32(b, codes[r.IntN(len(codes))])
	return b[:1+r.IntN(len(b))]
}

// throw sends bytes and, mostly, reads an answer; it reports whether one came.
func throw(r *rand.Rand, path string, b []byte) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	cut := r.IntN(len(b) + 1)
	c.Write(b[:cut])
	c.Write(b[cut:])
	if r.IntN(8) == 0 {
		return false
	}
	n, _ := c.Read(make([]byte, 4096))
	return n > 0
}
