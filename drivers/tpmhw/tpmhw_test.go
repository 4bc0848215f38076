package tpmhw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// fakeClock passes time only when somebody sleeps.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time        { return c.now }
func (c *fakeClock) Sleep(d time.Duration) { c.now = c.now.Add(d) }

// echo is the TPM behind the simulated registers: it answers a command with
// its own bytes, under a response header.
func echo(command []byte) []byte {
	r := append([]byte{0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}, command[10:]...)
	binary.BigEndian.PutUint32(r[2:], uint32(len(r)))
	return r
}

func command(size int) []byte {
	b := make([]byte, size)
	b[0], b[1] = 0x80, 0x01
	binary.BigEndian.PutUint32(b[2:], uint32(size))
	for i := 10; i < size; i++ {
		b[i] = byte(i)
	}
	return b
}

func TestSend(t *testing.T) {
	t.Parallel()
	tis := newSimTIS(echo)
	for name, regs := range map[string]Registers{"tis": tis, "crb": newSimCRB(echo)} {
		tpm, err := open(regs, nil, new(fakeClock))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, burst := range []int{1, 7, 64, 4096} {
			tis.burst = burst
			for _, n := range []int{10, 11, 12, 100, 3968} {
				r, err := tpm.Send(command(n))
				if err != nil || !bytes.Equal(r, echo(command(n))) {
					t.Fatalf("%s: %d bytes, bursts of %d: %x, %v", name, n, burst, r[:min(len(r), 20)], err)
				}
			}
		}
		for _, n := range []int{0, 9, MaxSize + 1} {
			if _, err := tpm.Send(make([]byte, n)); err == nil {
				t.Errorf("%s: a command of %d bytes was sent", name, n)
			}
		}
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	dead := newSimTIS(echo)
	dead.fault = func(int, uint32) uint32 { return 0xFFFFFFFF }
	if _, err := open(dead, nil, new(fakeClock)); !errors.Is(err, ErrAbsent) {
		t.Errorf("dead bus: %v", err)
	}
}

// noise plays the fuzzer's bytes as register values.
type noise struct {
	b []byte
	i int
}

func (n *noise) next() uint8 {
	if len(n.b) == 0 {
		return 0
	}
	n.i++
	return n.b[n.i%len(n.b)]
}

func (n *noise) Read8(int) uint8 { return n.next() }
func (n *noise) Read32(int) uint32 {
	return uint32(n.next()) | uint32(n.next())<<8 | uint32(n.next())<<16 | uint32(n.next())<<24
}
func (n *noise) Write8(int, uint8)   {}
func (n *noise) Write32(int, uint32) {}

// FuzzRegisters: whatever the registers read, Open and Send end, without a
// panic and without a response of an impossible size.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x00, 0xFF, 0xA0})
	f.Add([]byte{0x98, 0x01, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, open := range []func() (TPM, error){
			func() (TPM, error) { return openTIS(&noise{b: b}, new(fakeClock)) },
			func() (TPM, error) {
				n := &noise{b: b}
				return newCRB(n, n, n, func(uint64, int) (Registers, error) { return n, nil }, new(fakeClock))
			},
			func() (TPM, error) {
				n := &noise{b: b}
				return openControlArea(1<<32, func(uint64, int) (Registers, error) { return n, nil }, new(fakeClock))
			},
			func() (TPM, error) {
				n := &noise{b: b}
				return &crb{area: n, locality: n, command: n, response: n, clock: new(fakeClock), commandSize: 4096, responseLimit: 4096}, nil
			},
		} {
			tpm, err := open()
			if err != nil {
				continue
			}
			if r, err := tpm.Send(command(20)); err == nil && (len(r) < 10 || len(r) > MaxSize) {
				t.Fatalf("a response of %d bytes", len(r))
			}
		}
	})
}
