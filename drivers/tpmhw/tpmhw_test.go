package tpmhw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

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
	tis := newTIS()
	for name, regs := range map[string]Registers{"tis": tis, "crb": newCRB()} {
		tpm, err := open(regs, new(fakeClock))
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

// TestFaults: each fault is an error that says what did not come, and the next
// command works once the fault is over.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault func(m *tisModel)
		want  error
	}{
		{"burst count stays zero", func(m *tisModel) { m.stuckBurst = true }, ErrTimeout},
		{"Expect is clear too early", func(m *tisModel) { m.noExpect = true }, ErrReset},
		{"command never ends", func(m *tisModel) { m.never = true }, ErrTimeout},
		{"reset while the command is sent", func(m *tisModel) { m.dieAt = 15 }, ErrReset},
		{"bus is dead", func(m *tisModel) { m.gone = true }, ErrTimeout},
	} {
		m := newTIS()
		tpm, err := open(m, new(fakeClock))
		if err != nil {
			t.Fatal(err)
		}
		c.fault(m)
		if _, err := tpm.Send(command(40)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		*m = *newTIS()
		if r, err := tpm.Send(command(40)); err != nil || !bytes.Equal(r, echo(command(40))) {
			t.Errorf("%s: the next command: %v", c.name, err)
		}
	}
}

func TestResponseIsReadAgain(t *testing.T) {
	t.Parallel()
	m := newTIS()
	tpm, _ := open(m, new(fakeClock))
	m.lie = -5 // the first reading says fewer bytes than there are
	if r, err := tpm.Send(command(40)); err != nil || !bytes.Equal(r, echo(command(40))) {
		t.Fatalf("%x, %v", r, err)
	}
	if m.retries != 1 {
		t.Fatalf("responseRetry was used %d times", m.retries)
	}
}

func TestCRBFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault func(m *crbModel)
		want  error
	}{
		{"command never ends", func(m *crbModel) { m.never = true }, ErrTimeout},
		{"TPM reports an error", func(m *crbModel) { m.status = statusError }, ErrReset},
		{"size beyond the buffer", func(m *crbModel) { m.lie = 5000 }, ErrResponse},
		{"bus is dead", func(m *crbModel) { m.gone = true }, ErrTimeout},
	} {
		m := newCRB()
		tpm, err := open(m, new(fakeClock))
		if err != nil {
			t.Fatal(err)
		}
		c.fault(m)
		if _, err := tpm.Send(command(40)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		*m = *newCRB()
		if r, err := tpm.Send(command(40)); err != nil || !bytes.Equal(r, echo(command(40))) {
			t.Errorf("%s: the next command: %v", c.name, err)
		}
	}
}

func TestAbsent(t *testing.T) {
	t.Parallel()
	outside := newCRB()
	outside.address = 0x1000
	for name, regs := range map[string]Registers{
		"dead bus": &tisModel{gone: true}, "CRB with buffers elsewhere": outside,
	} {
		if _, err := open(regs, new(fakeClock)); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %v", name, err)
		}
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
			func() (TPM, error) { return openCRB(&noise{b: b}, new(fakeClock)) },
			func() (TPM, error) {
				return &crb{regs: &noise{b: b}, clock: new(fakeClock), commandSize: 4096, responseLimit: 4096}, nil
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
