package hwtpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpm"
)

// A chip stands for the hardware TPM: this project's own device, in process,
// with what tests do to a bus. The manager's tests run on swtpm, too.
type chip struct {
	t     testing.TB
	d     *vtpm.Device
	state []byte

	sent  int
	hook  func(n int, command []byte) ([]byte, error) // before; a response or an error ends it
	after func(n int, response []byte) ([]byte, error)
}

func newChip(t testing.TB) *chip {
	c := &chip{t: t}
	var err error
	if c.d, err = vtpm.Manufacture(vtpm.Config{Store: c}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *chip) Save(state []byte) error {
	c.state = bytes.Clone(state)
	return nil
}

// reset takes the power away and gives it back, as firmware finds it.
func (c *chip) reset() {
	d, err := vtpm.Load(vtpm.Config{Store: c}, bytes.Clone(c.state))
	if err != nil {
		c.t.Fatal(err)
	}
	c.d = d
}

func (c *chip) Send(command []byte) (r []byte, err error) {
	c.sent++
	n := c.sent
	if c.hook != nil {
		if r, err := c.hook(n, command); r != nil || err != nil {
			return r, err
		}
	}
	r = bytes.Clone(c.d.Execute(0, bytes.Clone(command)))
	if c.after != nil {
		return c.after(n, r)
	}
	return r, nil
}

var testID = [16]byte{1, 2, 3}

func open(t *testing.T, bus transport.TPM) *TPM {
	t.Helper()
	tpm, err := Open(bus, Options{Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	return tpm
}

func newKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key)
	return key
}

// again is a record after its way over a disk.
func again(t *testing.T, r *Record) *Record {
	t.Helper()
	disk := blocktest.NewMem(Area)
	if err := WriteRecord(disk, r); err != nil {
		t.Fatal(err)
	}
	r, err := ReadRecord(disk)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func extend(t *testing.T, bus transport.TPM, pcr tpm2.TPMHandle) {
	t.Helper()
	if _, err := (tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: pcr, Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
	}).Execute(bus); err != nil {
		t.Fatal(err)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	c := newChip(t)
	tpm := open(t, c)
	key := newKey()
	r, err := tpm.Create(testID, key, Policy{PCRs: []uint{0, 7}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tpm.Anchor().Value()
	if err != nil || want != sha256.Sum256(append(make([]byte, 32), hash(testID[:])...)) {
		t.Fatalf("first value %x, %v", want, err)
	}
	var count uint64
	for i := range 20 {
		switch i {
		case 5: // the TPM is reset under a running manager
			c.reset()
		case 10: // the manager starts again
			c.reset()
			tpm = open(t, c)
			if got, err := tpm.Unlock(again(t, r)); err != nil || !bytes.Equal(got, key) {
				t.Fatalf("unlock: %v", err)
			}
		}
		d := [32]byte{byte(i)}
		if err := tpm.Anchor().Extend(d); err != nil {
			t.Fatalf("extend %d: %v", i, err)
		}
		want = sha256.Sum256(append(want[:], d[:]...))
		if got, err := tpm.Anchor().Value(); err != nil || got != want {
			t.Fatalf("value %d: %v", i, err)
		}
		if err := tpm.Count(); err != nil {
			t.Fatal(err)
		}
		n, err := tpm.Counter()
		if err != nil || i > 0 && n != count+1 {
			t.Fatalf("counter %d after %d, %v", n, count, err)
		}
		count = n
		if b, err := tpm.Random(40); err != nil || len(b) != 40 {
			t.Fatal(err)
		}
		if v, _, err := tpm.Anchor().Chain(); err != nil || v != [32]byte{} {
			t.Fatalf("PCR: %x, %v", v, err)
		}
	}
	sent := c.sent
	if err := tpm.Anchor().Extend([32]byte{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("commands of the first Extend after others: %d", c.sent-sent)
	sent = c.sent
	if err := tpm.Anchor().Extend([32]byte{}); err != nil {
		t.Fatal(err)
	}
	if c.sent-sent != 2 {
		t.Errorf("%d commands for an Extend, want 2", c.sent-sent)
	}
	if err := tpm.Health(); err != nil {
		t.Error(err)
	}
}

// TestAlternate has uses take turns that need each other's room: what is kept
// of them does not grow.
func TestAlternate(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	tpm := open(t, chip)
	if _, err := tpm.Create(testID, newKey(), Policy{}, nil); err != nil {
		t.Fatal(err)
	}
	var kept int
	for i := range 50 {
		if _, err := tpm.Random(8); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tpm.Anchor().Chain(); err != nil {
			t.Fatal(err)
		}
		if err := tpm.Anchor().Extend([32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			kept = len(tpm.open)
		}
	}
	if n := len(tpm.open); n != kept {
		t.Errorf("%d things to end after 50 turns, %d after one", n, kept)
	}
}

func hash(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// TestRefused has a record meet what it must not open for.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(t *testing.T, c *chip) *chip
		want error
	}{
		{"same", func(_ *testing.T, c *chip) *chip { return c }, nil},
		{"another TPM", func(t *testing.T, _ *chip) *chip { return newChip(t) }, ErrOtherTPM},
		{"cleared", func(t *testing.T, c *chip) *chip { clearTPM(t, c); return c }, ErrCleared},
		{"another PCR", func(t *testing.T, c *chip) *chip { extend(t, c, 7); return c }, ErrPCR},
		{"a PCR that does not matter", func(t *testing.T, c *chip) *chip { extend(t, c, 8); return c }, nil},
	} {
		chip := newChip(t)
		key := newKey()
		r, err := open(t, chip).Create(testID, key, Policy{PCRs: []uint{0, 7}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		chip = c.do(t, chip)
		tpm := open(t, chip)
		for range 20 { // more often than a TPM has room for objects or sessions
			got, err := tpm.Unlock(again(t, r))
			if !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(got, key) {
				t.Fatalf("%s: %v, want %v", c.name, err, c.want)
			}
		}
	}
}

func clearTPM(t *testing.T, bus transport.TPM) {
	t.Helper()
	if _, err := (tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}}).Execute(bus); err != nil {
		t.Fatal(err)
	}
}

// TestIndices undefines and makes again what keeps old disks out.
func TestIndices(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	tpm := open(t, chip)
	r, err := tpm.Create(testID, newKey(), Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for which, read := range []func() error{
		func() error { _, err := tpm.Anchor().Value(); return err },
		func() error { _, err := tpm.Counter(); return err },
	} {
		p, err := tpm.secret.public(which, false)
		if err != nil {
			t.Fatal(err)
		}
		h, err := tpm.secret.index(which, true)
		if err != nil {
			t.Fatal(err)
		}
		// Neither the owner nor an empty password writes.
		for _, by := range []tpm2.AuthHandle{{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, {Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth(nil)}} {
			if _, err := (tpm2.NVWrite{AuthHandle: by, NVIndex: h, Data: tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, 8)}}).Execute(chip); err == nil {
				t.Errorf("index %d was written", which)
			}
			if _, err := (tpm2.NVIncrement{AuthHandle: by, NVIndex: h}).Execute(chip); err == nil {
				t.Errorf("index %d was incremented", which)
			}
		}
		owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
		if _, err := (tpm2.NVUndefineSpace{AuthHandle: owner, NVIndex: h}).Execute(chip); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, ErrIndexGone) {
			t.Errorf("index %d is gone: %v", which, err)
		}
		// The same once more: unwritten, so of another name.
		if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(p)}).Execute(chip); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, ErrIndexOther) {
			t.Errorf("index %d made again: %v", which, err)
		}
		if _, err := (tpm2.NVUndefineSpace{AuthHandle: owner, NVIndex: h}).Execute(chip); err != nil {
			t.Fatal(err)
		}
		// One that anybody writes.
		p.Attributes.AuthWrite = true
		p.AuthPolicy = tpm2.TPM2BDigest{}
		p.Attributes.PolicyWrite = false
		p.Attributes.NT = tpm2.TPMNTOrdinary
		p.DataSize = 32
		if _, err := (tpm2.NVDefineSpace{AuthHandle: owner, PublicInfo: tpm2.New2B(p)}).Execute(chip); err != nil {
			t.Fatal(err)
		}
		name, err := tpm2.NVName(&p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (tpm2.NVWrite{AuthHandle: tpm2.AuthHandle{Handle: h.Handle, Name: *name, Auth: tpm2.PasswordAuth(nil)},
			NVIndex: tpm2.NamedHandle{Handle: h.Handle, Name: *name}, Data: tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, 32)}}).Execute(chip); err != nil {
			t.Fatal(err)
		}
		if err := read(); !errors.Is(err, ErrIndexOther) {
			t.Errorf("a foreign index %d: %v", which, err)
		}
	}
	// Another manager's indices on the same TPM do not get in the way.
	two, err := open(t, chip).Create([16]byte{9}, newKey(), Policy{}, nil)
	if err != nil || two.indices == r.indices {
		t.Fatalf("a second manager: %v", err)
	}
}

// TestOperator plans an update of what is in the PCRs.
func TestOperator(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key := newKey()
	pcrs := []uint{0, 7}
	r, err := open(t, chip).Create(testID, key, Policy{PCRs: pcrs, Operator: &operator.PublicKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, chip).Unlock(again(t, r)); err != nil || !bytes.Equal(got, key) {
		t.Fatalf("as it was: %v", err)
	}
	old, err := open(t, chip).pcrs(pcrs)
	if err != nil {
		t.Fatal(err)
	}
	extend(t, chip, 7)
	if _, err := open(t, chip).Unlock(again(t, r)); !errors.Is(err, ErrPCR) {
		t.Fatalf("after an update: %v", err)
	}
	values, err := open(t, chip).pcrs(pcrs)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := Approve(other, pcrs, values)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(forged, values); !errors.Is(err, ErrApproval) {
		t.Fatalf("somebody else's approval: %v", err)
	}
	good, err := Approve(operator, pcrs, values)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(good, old); !errors.Is(err, ErrApproval) {
		t.Fatalf("an approval with other values: %v", err)
	}
	if _, err := r.Approve(&Approval{[]uint{0, 4}, good.Policy, good.Signature}, values); !errors.Is(err, ErrApproval) {
		t.Fatalf("an approval with another mask: %v", err)
	}
	narrow, err := Approve(operator, pcrs[:1], values[:32])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(narrow, values[:32]); !errors.Is(err, ErrApproval) {
		t.Fatalf("an approval that leaves out a PCR: %v", err)
	}
	before := r
	if r, err = r.Approve(good, values); err != nil {
		t.Fatal(err)
	}
	if len(before.approvals) != 0 {
		t.Error("the record that was approved from has changed")
	}
	for range 20 {
		if got, err := open(t, chip).Unlock(again(t, r)); err != nil || !bytes.Equal(got, key) {
			t.Fatalf("approved: %v", err)
		}
	}
	// A forged record: the TPM itself does not take the signature.
	r.approvals = []Approval{*forged}
	if _, err := open(t, chip).Unlock(r); !errors.Is(err, ErrApproval) {
		t.Errorf("forged record: %v", err)
	}
	if err := open(t, chip).CheckApproval(r, forged); err == nil {
		t.Error("the TPM takes somebody else's signature")
	}
	r.operator, _ = other.PublicKey.Bytes()
	if got, err := open(t, chip).Unlock(r); err == nil || got != nil {
		t.Errorf("record with another operator: %v", err)
	}
	plain, err := open(t, chip).Create(testID, newKey(), Policy{PCRs: pcrs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Approve(good, values); !errors.Is(err, ErrApproval) {
		t.Errorf("no operator: %v", err)
	}
}

// TestOwner has a TPM whose owner has a password, which is never on the bus.
func TestOwner(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	password := []byte("correct horse")
	if _, err := (tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: password},
	}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	chip.hook = func(_ int, command []byte) ([]byte, error) {
		if bytes.Contains(command, password) {
			t.Error("the password is on the bus")
		}
		return nil, nil
	}
	if _, err := open(t, chip).Create(testID, newKey(), Policy{}, nil); !errors.Is(err, ErrOwner) {
		t.Errorf("created without the password: %v", err)
	}
	// A password of the endorsement hierarchy is no matter.
	if _, err := (tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte("another")},
	}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	tpm, err := Open(chip, Options{OwnerAuth: password, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	key := newKey()
	r, err := tpm.Create(testID, key, Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tpm.Unlock(r); err != nil || !bytes.Equal(got, key) {
		t.Fatal(err)
	}
	if err := tpm.Anchor().Extend([32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, chip).Unlock(r); !errors.Is(err, ErrOwner) {
		t.Errorf("unlocked without the password: %v", err)
	}
}

// TestLockout: a TPM in dictionary attack lockout goes on serving the manager.
func TestLockout(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	tpm := open(t, chip)
	r, err := tpm.Create(testID, newKey(), Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// TPM2_DictionaryAttackParameters (go-tpm has it not): not one try.
	if rsp, err := chip.Send([]byte{0x80, 2, 0, 0, 0, 39, 0, 0, 1, 0x3A, 0x40, 0, 0, 0x0A, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 3, 0xE8, 0, 0, 3, 0xE8}); err != nil || rsp[9] != 0 {
		t.Fatalf("%x, %v", rsp, err)
	}
	if _, err := tpm.Unlock(r); err != nil {
		t.Fatal(err)
	}
	if err := tpm.Anchor().Extend([32]byte{1}); err != nil {
		t.Fatal(err)
	}
}

// TestFaults breaks each command in turn, before the TPM has it and after, and
// resets the TPM in its place; the next use works, and no value is wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	dead := errors.New("the bus is dead")
	chip := newChip(t)
	tpm := open(t, chip)
	key := newKey()
	r, err := tpm.Create(testID, key, Policy{PCRs: []uint{0}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := tpm.Anchor().Value()
	if err != nil {
		t.Fatal(err)
	}
	cuts := 0
	for kind, fault := range map[string]func(at int){
		"before": func(at int) {
			chip.hook = func(n int, _ []byte) ([]byte, error) {
				if n == at {
					return nil, dead
				}
				return nil, nil
			}
		},
		"after": func(at int) {
			chip.after = func(n int, r []byte) ([]byte, error) {
				if n == at {
					return nil, dead
				}
				return r, nil
			}
		},
		"reset": func(at int) {
			chip.hook = func(n int, _ []byte) ([]byte, error) {
				if n == at {
					chip.reset()
				}
				return nil, nil
			}
		},
		"dead for long": func(at int) {
			chip.hook = func(n int, _ []byte) ([]byte, error) {
				if n >= at {
					return nil, dead
				}
				return nil, nil
			}
		},
	} {
		for i := range 40 {
			chip.reset()
			tpm = open(t, chip)
			fault(chip.sent + 1 + i)
			begun := chip.sent
			var d [32]byte
			binary.BigEndian.PutUint32(d[:], uint32(i))
			got, err := tpm.Unlock(r)
			if err == nil && !bytes.Equal(got, key) {
				t.Fatalf("%s %d: wrong key", kind, i)
			}
			extended := sha256.Sum256(append(value[:], d[:]...))
			if err == nil {
				if _, err := tpm.Random(16); err != nil && kind == "reset" {
					t.Errorf("%s %d: random: %v", kind, i, err)
				}
				err = tpm.Anchor().Extend(d)
			}
			done := chip.sent-begun <= i && kind != "dead for long"
			chip.hook, chip.after = nil, nil
			if _, e := tpm.Unlock(r); e != nil {
				t.Fatalf("%s %d: after the fault: %v", kind, i, e)
			}
			now, e := tpm.Anchor().Value()
			if e != nil || tpm.Health() != nil {
				t.Fatalf("%s %d: after the fault: %v", kind, i, e)
			}
			if now != value && now != extended || err == nil && now != extended {
				t.Fatalf("%s %d: value %x", kind, i, now)
			}
			value = now
			if !done {
				cuts++
			}
		}
	}
	t.Logf("%d faults", cuts)
}

// TestInterposer flips a bit in a byte of a command or response: in every
// seventh of all bytes, in each with STUBTPM_SOAK set.
func TestInterposer(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	key := newKey()
	r, err := open(t, chip).Create(testID, key, Policy{PCRs: []uint{0}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := func() ([32]byte, error) {
		tpm := open(t, chip)
		if _, err := tpm.Unlock(r); err != nil {
			return [32]byte{}, err
		}
		return tpm.Anchor().Value()
	}()
	if err != nil {
		t.Fatal(err)
	}
	// One run shows how much there is to flip.
	var sizes []int
	flips, failed, repeated := 0, 0, 0
	run := func() (got []byte, v [32]byte, pcr [32]byte, extended bool, err error) {
		chip.reset()
		tpm, err := Open(chip, Options{Log: func(string, ...any) { repeated++ }})
		if err != nil {
			return nil, v, pcr, false, err
		}
		if got, err = tpm.Unlock(r); err != nil {
			return nil, v, pcr, false, err
		}
		if v, err = tpm.Anchor().Value(); err != nil {
			return got, v, pcr, false, err
		}
		if pcr, _, err = tpm.Anchor().Chain(); err != nil {
			return got, v, pcr, false, err
		}
		return got, v, pcr, true, tpm.Anchor().Extend([32]byte{7})
	}
	chip.hook = func(_ int, c []byte) ([]byte, error) { sizes = append(sizes, len(c)); return nil, nil }
	chip.after = func(_ int, r []byte) ([]byte, error) { sizes = append(sizes, len(r)); return r, nil }
	if _, _, _, _, err := run(); err != nil {
		t.Fatal(err)
	}
	value = sha256.Sum256(append(value[:], append([]byte{7}, make([]byte, 31)...)...))
	stride := 7
	if os.Getenv("STUBTPM_SOAK") != "" {
		stride = 1
	} else if testing.Short() {
		stride = 53
	}
	for message, size := range sizes {
		for at := message % stride; at < size; at += stride {
			n := -1 // counts commands and responses
			flip := func(b []byte) {
				if n++; n == message && at < len(b) {
					b[at] ^= 1 << (at % 8)
				}
			}
			chip.hook = func(_ int, c []byte) ([]byte, error) { flip(c); return nil, nil }
			chip.after = func(_ int, r []byte) ([]byte, error) { flip(r); return r, nil }
			got, v, pcr, asked, err := run()
			chip.hook, chip.after = nil, nil
			flips++
			if err != nil {
				failed++
			}
			if got != nil && !bytes.Equal(got, key) {
				t.Fatalf("message %d, byte %d: a wrong key was taken", message, at)
			}
			if v != ([32]byte{}) && v != value {
				t.Fatalf("message %d, byte %d: a wrong value was taken", message, at)
			}
			if pcr != [32]byte{} {
				t.Fatalf("message %d, byte %d: a wrong PCR was taken", message, at)
			}
			// What was extended is what was asked for, once, or nothing.
			tpm := open(t, chip)
			if _, err := tpm.Unlock(r); err != nil {
				t.Fatalf("message %d, byte %d: afterwards: %v", message, at, err)
			}
			now, e := tpm.Anchor().Value()
			next := sha256.Sum256(append(value[:], append([]byte{7}, make([]byte, 31)...)...))
			if e != nil || now != value && !(asked && now == next) || err == nil && now != next {
				t.Fatalf("message %d, byte %d: value %x, %v, %v", message, at, now, e, err)
			}
			value = now
		}
	}
	t.Logf("%d messages, %d flips: %d ended a use with an error, %d were repaired by a second try, no wrong value was taken", len(sizes), flips, failed, repeated)
	if failed == 0 || repeated == 0 {
		t.Error("the flips do not reach the TPM")
	}
}

// TestBus looks for what must not be on it.
func TestBus(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	var seen []byte
	chip.hook = func(_ int, c []byte) ([]byte, error) { seen = append(seen, c...); return nil, nil }
	chip.after = func(_ int, r []byte) ([]byte, error) { seen = append(seen, r...); return r, nil }
	tpm := open(t, chip)
	key := newKey()
	r, err := tpm.Create(testID, key, Policy{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Unlock(r); err != nil {
		t.Fatal(err)
	}
	if err := tpm.Anchor().Extend([32]byte{1}); err != nil {
		t.Fatal(err)
	}
	random, err := tpm.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"root key": key, "authorization": indexAuth(key), "random bytes": random} {
		if bytes.Contains(seen, secret) {
			t.Errorf("the %s is on the bus", name)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	chip := newChip(t)
	operator, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r, err := open(t, chip).Create(testID, newKey(), Policy{PCRs: []uint{0, 23}, Operator: &operator.PublicKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	disk := blocktest.NewMem(Area)
	if err := CheckBlank(disk); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecord(disk); !errors.Is(err, ErrUninitialized) {
		t.Errorf("blank: %v", err)
	}
	if err := WriteRecord(disk, r); err != nil {
		t.Fatal(err)
	}
	if err := CheckBlank(disk); !errors.Is(err, ErrInitialized) {
		t.Errorf("written: %v", err)
	}
	whole := bytes.Clone(disk.Data)
	for _, at := range []int{0, 9, 100, recordSize - 1, secondCopy, secondCopy + 200} {
		copy(disk.Data, whole)
		disk.Data[at] ^= 0x10
		if got, err := ReadRecord(disk); err != nil || got.id != testID {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	copy(disk.Data, whole)
	disk.Data[50] ^= 1
	disk.Data[secondCopy+60] ^= 1
	if _, err := ReadRecord(disk); !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("both copies: %v", err)
	}
	if err := CheckBlank(disk); !errors.Is(err, ErrNotBlank) {
		t.Errorf("damaged: %v", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	chip := newChip(f)
	tpm, err := Open(chip, Options{})
	if err != nil {
		f.Fatal(err)
	}
	r, err := tpm.Create(testID, newKey(), Policy{PCRs: []uint{7}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	b, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:recordSize-sha256.Size])
	f.Add([]byte(recordMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		// With a sum that is right, or nothing gets behind it.
		if len(b) > recordSize-sha256.Size {
			b = b[:recordSize-sha256.Size]
		}
		b = append(bytes.Clone(b), make([]byte, recordSize-sha256.Size-len(b))...)
		sum := sha256.Sum256(b)
		b = append(b, sum[:]...)
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if got, err := r.Encode(); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

// TestVersion3 reads a record of the version before, and its approval.
func TestVersion3(t *testing.T) {
	t.Parallel()
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey()
	chip := newChip(t)
	r, err := open(t, chip).Create(testID, key, Policy{PCRs: []uint{0, 7}, Operator: &operator.PublicKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	approval, err := Approve(operator, []uint{0, 7}, make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*Approval{nil, approval} {
		s := r.seals[0]
		b := binary.BigEndian.AppendUint16([]byte(recordMagic), 3)
		b = append(b, r.id[:]...)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, r.indices[0]), r.indices[1])
		b = append(binary.BigEndian.AppendUint32(b, mask(s.pcrs)), s.pcr[:]...)
		var last []byte
		if a != nil {
			last = append(binary.BigEndian.AppendUint32(nil, mask(a.PCRs)), a.Policy[:]...)
			last = append(last, a.Signature[:]...)
		}
		b = appendFields(b, r.operator, r.srkName, r.ekName, s.object.public, s.object.private, r.object.public, r.object.private, last)
		b = append(b, make([]byte, recordSize-sha256.Size-len(b))...)
		sum := sha256.Sum256(b)
		old, err := DecodeRecord(append(b, sum[:]...))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, chip).Unlock(old); err != nil || !bytes.Equal(got, key) {
			t.Errorf("version 3 does not open: %v", err)
		}
		if a != nil && (len(old.approvals) != 1 || old.approvals[0].Policy != a.Policy || old.approvals[0].Signature != a.Signature) {
			t.Errorf("approvals: %+v", old.approvals)
		}
	}
}
