package hwtpm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// next is the value of a PCR after an extension.
func next(value, d [32]byte) [32]byte { return sha256.Sum256(append(value[:], d[:]...)) }

// TestChain links while other uses of the TPM come between: the PCR goes on, and
// a link is one command.
func TestChain(t *testing.T) {
	t.Parallel()
	c := newChip(t)
	tpm := open(t, c)
	r, err := tpm.Create(testID, newKey(), Policy{PCRs: []uint{0, 7}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := tpm.Anchor()
	if err := a.Link([32]byte{}); err == nil {
		t.Fatal("a link before Chain")
	}
	want, boot, err := a.Chain()
	if err != nil || want != [32]byte{} {
		t.Fatalf("first value %x, %v", want, err)
	}
	for i := range 60 {
		switch i % 6 {
		case 1:
			_, err = tpm.Random(40)
		case 2:
			err = a.Extend([32]byte{1})
		case 3:
			_, err = tpm.Counter()
		case 4: // another manager, no reset
			tpm = open(t, c)
			a = tpm.Anchor()
			if _, err = tpm.Unlock(r); err == nil {
				_, _, err = a.Chain()
			}
		}
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		d := [32]byte{byte(i)}
		sent := c.sent
		if err := a.Link(d); err != nil {
			t.Fatalf("link %d: %v", i, err)
		}
		if c.sent != sent+1 {
			t.Fatalf("link %d: %d commands", i, c.sent-sent)
		}
		want = next(want, d)
		if v, b, err := a.Chain(); err != nil || v != want || b != boot {
			t.Fatalf("value %d: %v, boot %x and %x", i, err, b, boot)
		}
	}
}

// TestChainReset resets the TPM between reading and linking: no link goes into
// the PCR that was cleared, and the number of the boot is another.
func TestChainReset(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]func(c *chip){
		"loss of power": (*chip).reset,
		"reset, and started by firmware": func(c *chip) {
			c.d.Init()
			if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(c); err != nil {
				c.t.Fatal(err)
			}
		},
		"orderly restart": func(c *chip) {
			if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUState}).Execute(c); err != nil {
				c.t.Fatal(err)
			}
			c.d.Init()
			if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(c); err != nil {
				c.t.Fatal(err)
			}
		},
	} {
		c := newChip(t)
		tpm := open(t, c)
		if _, err := tpm.Create(testID, newKey(), Policy{}, nil); err != nil {
			t.Fatal(err)
		}
		a := tpm.Anchor()
		_, boot, err := a.Chain()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Link([32]byte{1}); err != nil {
			t.Fatal(err)
		}
		reset(c)
		if err := a.Link([32]byte{2}); err == nil {
			t.Errorf("%s: linked", name)
		}
		if err := a.Link([32]byte{2}); !errors.Is(err, errReset) {
			t.Errorf("%s: %v", name, err)
		}
		v, now, err := a.Chain()
		if err != nil || v != [32]byte{} || now == boot {
			t.Errorf("%s: value %x, boot %x after %x, %v", name, v, now, boot, err)
		}
	}
}

// TestChainOnTheBus changes each byte of each response while the PCR is read: a
// wrong value is never returned.
func TestChainOnTheBus(t *testing.T) {
	t.Parallel()
	c := newChip(t)
	tpm := open(t, c)
	if _, err := tpm.Create(testID, newKey(), Policy{}, nil); err != nil {
		t.Fatal(err)
	}
	a := tpm.Anchor()
	_, boot, err := a.Chain()
	if err != nil {
		t.Fatal(err)
	}
	want, refused := [32]byte{}, 0
	for at := range 120 {
		first := true
		c.after = func(n int, r []byte) ([]byte, error) {
			if first && at < len(r) {
				r[at] ^= 1
				first = false
			}
			return r, nil
		}
		v, b, err := a.Chain()
		switch {
		case err != nil:
			refused++
		case v != want || b != boot:
			t.Fatalf("byte %d: value %x of boot %x was believed", at, v, b)
		}
		c.after = nil
	}
	t.Logf("%d of 120 changes were errors; the others were read at the second try", refused)
	// A link whose response is forged from an error to a success.
	c.hook = func(n int, command []byte) ([]byte, error) {
		if binary.BigEndian.Uint32(command[6:]) == uint32(tpm2.TPMCCPCRExtend) {
			return nil, errors.New("swallowed")
		}
		return nil, nil
	}
	if _, _, err := a.Chain(); err != nil {
		t.Fatal(err)
	}
	if err := a.Link([32]byte{1}); err == nil {
		t.Fatal("a link that the TPM never saw")
	}
	c.hook = nil
	if v, _, err := a.Chain(); err != nil || v != want {
		t.Fatalf("%x, %v", v, err)
	}
}

// TestPCRs refuses PCRs that could be cleared, and a root key sealed to the one
// that changes.
func TestPCRs(t *testing.T) {
	t.Parallel()
	c := newChip(t)
	for _, n := range []uint{1, 7, 16, 17, 22, 23, 24, 1 << 20} {
		if _, err := Open(c, Options{PCR: n}); err == nil {
			t.Errorf("PCR %d was taken", n)
		}
	}
	if _, err := open(t, c).Create(testID, newKey(), Policy{PCRs: []uint{7, 15}}, nil); err == nil {
		t.Error("sealed to PCR 15")
	}
}
