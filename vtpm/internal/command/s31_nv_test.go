package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// Who may write and read an index in these tests.
const (
	byOwner    = tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead
	byPlatform = tcg.TPMANVPPWrite | tcg.TPMANVPPRead
	byIndex    = tcg.TPMANVAuthWrite | tcg.TPMANVAuthRead
)

// index is the public area of an NV index, which dictionary attack protection is
// not for.
func index(size int, attributes tcg.TPMANV) tcg.TPMSNVPublic {
	return tcg.TPMSNVPublic{NVIndex: 0x01800001, NameAlg: tcg.TPMAlgSHA256, DataSize: uint16(size), Attributes: attributes | tcg.TPMANVNoDA}
}

// nt is an index type among the attributes.
func nt(kind tcg.TPMNT) tcg.TPMANV { return tcg.TPMANV(kind) << 4 }

// define defines an index whose authorization value is empty.
func define(tpm *tpmtest.TPM, by tcg.TPMHandle, p tcg.TPMSNVPublic) tcg.TPMHandle {
	tpm.Do(tcg.TPMCCNVDefineSpace, handles{by}, nil, nil, p)
	return p.NVIndex
}

// contents are what the owner reads of an index from its beginning.
func contents(tpm *tpmtest.TPM, x tcg.TPMHandle, n int) []byte {
	return take(tpm.Do(tcg.TPMCCNVRead, handles{owner, x}, nil, n, 0))
}

// attributesOf are the attributes of an index.
func attributesOf(tpm *tpmtest.TPM, x tcg.TPMHandle) tcg.TPMANV {
	r := tpm.Do(tcg.TPMCCNVReadPublic, handles{x}, nil)
	var p tcg.TPMSNVPublic
	p.Unmarshal2B(&r.Reader)
	return p.Attributes
}

// TestNVWrite: what is written is read, in parts too, after a loss of power, and
// the Name tells that something is written (Part 3, 31.7 and 31.13).
func TestNVWrite(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	x := define(tpm, owner, index(8, byOwner|byIndex))
	before := tpm.Name(x)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "abcd", 2)
	if bytes.Equal(tpm.Name(x), before) || attributesOf(tpm, x)&tcg.TPMANVWritten == 0 {
		t.Error("the index does not say that it is written")
	}
	tpm.Do(tcg.TPMCCNVWrite, handles{x, x}, nil, "X", 4)
	tpm.PowerLoss()
	if got, want := contents(tpm, x, 8), "\xff\xffabXd\xff\xff"; string(got) != want {
		t.Errorf("%q was read, not %q", got, want)
	}
	if got := take(tpm.Do(tcg.TPMCCNVRead, handles{x, x}, nil, 2, 4)); string(got) != "Xd" {
		t.Errorf("%q was read of the middle", got)
	}
}

// TestNVCounter: a counter never goes back, be it deleted or the power lost (Part
// 3, 31.2 and 31.8).
func TestNVCounter(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	last := make([]byte, 8)
	p := index(8, nt(tcg.TPMNTCounter)|byOwner)
	for _, orderly := range []tcg.TPMANV{0, tcg.TPMANVOrderly} {
		p.Attributes |= orderly
		for range 2 {
			x := define(tpm, owner, p)
			for i := range 600 {
				tpm.Do(tcg.TPMCCNVIncrement, handles{owner, x}, nil)
				if i%190 == 0 {
					tpm.PowerLoss()
				}
				v := contents(tpm, x, 8)
				if bytes.Compare(v, last) <= 0 || orderly == 0 && i > 0 && v[7] != last[7]+1 {
					t.Fatalf("%x after %x", v, last)
				}
				last = v
			}
			tpm.Reset()
			if v := contents(tpm, x, 8); !bytes.Equal(v, last) {
				t.Errorf("after an orderly shutdown %x is %x", last, v)
			}
			tpm.Do(tcg.TPMCCNVUndefineSpace, handles{owner, x}, nil)
		}
	}
}

// TestNVExtendSetBits: the index begins with zeros (Part 3, 31.9 and 31.10).
func TestNVExtendSetBits(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	x := define(tpm, owner, index(32, nt(tcg.TPMNTExtend)|byOwner))
	want := zero
	for _, data := range []string{"first", ""} {
		tpm.Do(tcg.TPMCCNVExtend, handles{owner, x}, nil, data)
		want = hash(want, []byte(data))
		if got := contents(tpm, x, 32); !bytes.Equal(got, want) {
			t.Errorf("extended with %q: %x, not %x", data, got, want)
		}
	}
	p := index(8, nt(tcg.TPMNTBits)|byOwner)
	p.NVIndex++
	x = define(tpm, owner, p)
	for bits, want := range []uint64{0, 1, 3, 3} {
		tpm.Do(tcg.TPMCCNVSetBits, handles{owner, x}, nil, bits)
		if got := contents(tpm, x, 8); !bytes.Equal(got, be(want)) {
			t.Errorf("bits %d set: %x, not %x", bits, got, want)
		}
	}
}

// TestNVLocks: what is locked stays so until a restart, or for good (Part 3,
// 31.11, 31.12 and 31.14).
func TestNVLocks(t *testing.T) {
	t.Parallel()
	type locks struct{ now, resume, restart bool }
	write := func(tpm *tpmtest.TPM, x tcg.TPMHandle) bool {
		return tpm.Run(tcg.TPMCCNVWrite, handles{owner, x}, nil, "x", 0).Code == tcg.TPMRCNVLocked
	}
	reads := func(tpm *tpmtest.TPM, x tcg.TPMHandle) bool {
		return tpm.Run(tcg.TPMCCNVRead, handles{owner, x}, nil, 1, 0).Code == tcg.TPMRCNVLocked
	}
	for _, c := range []struct {
		name       string
		attributes tcg.TPMANV
		written    bool
		lock       tcg.TPMCC
		locked     func(*tpmtest.TPM, tcg.TPMHandle) bool
		want       locks
	}{
		{"WriteLock, WRITE_STCLEAR", tcg.TPMANVWriteSTClear, true, tcg.TPMCCNVWriteLock, write, locks{true, true, false}},
		{"WriteLock, WRITEDEFINE", tcg.TPMANVWriteDefine, true, tcg.TPMCCNVWriteLock, write, locks{true, true, true}},
		{"WriteLock, WRITEDEFINE, not written", tcg.TPMANVWriteDefine, false, tcg.TPMCCNVWriteLock, write, locks{true, true, false}},
		{"GlobalWriteLock", tcg.TPMANVGlobalLock, true, tcg.TPMCCNVGlobalWriteLock, write, locks{true, true, false}},
		{"GlobalWriteLock, WRITEDEFINE", tcg.TPMANVGlobalLock | tcg.TPMANVWriteDefine, true, tcg.TPMCCNVGlobalWriteLock, write, locks{true, true, true}},
		{"GlobalWriteLock of another index", 0, true, tcg.TPMCCNVGlobalWriteLock, write, locks{false, false, false}},
		{"ReadLock", tcg.TPMANVReadSTClear, true, tcg.TPMCCNVReadLock, reads, locks{true, true, false}},
		{"ReadLock, not written", tcg.TPMANVReadSTClear, false, tcg.TPMCCNVReadLock, reads, locks{true, true, false}},
	} {
		tpm := tpmtest.New(t)
		x := define(tpm, owner, index(1, byOwner|c.attributes))
		if c.written {
			tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, "x", 0)
		}
		h := handles{owner, x}
		if c.lock == tcg.TPMCCNVGlobalWriteLock {
			h = h[:1]
		}
		tpm.Do(c.lock, h, nil)
		tpm.Do(c.lock, h, nil) // again is no error
		got := locks{now: c.locked(tpm.Fork(), x)}
		f := tpm.Fork()
		f.Resume()
		got.resume = c.locked(f, x)
		f = tpm.Fork()
		f.Restart()
		got.restart = c.locked(f, x)
		tpm.PowerLoss()
		if got != c.want || c.locked(tpm, x) != c.want.restart {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

// TestNVChangeAuth: the new value is asked for, also after a loss of power (Part 3,
// 31.15).
func TestNVChangeAuth(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	change := step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCNVChangeAuth)
	p := index(1, byIndex)
	p.AuthPolicy = trial(tpm, change)
	x := define(tpm, owner, p)
	s := tpm.StartPolicy()
	change(tpm, s)
	tpm.Do(tcg.TPMCCNVChangeAuth, handles{x}, auths{s}, "new\x00")
	tpm.PowerLoss()
	tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCNVWrite, handles{x, x}, nil, "x", 0)
	tpm.Do(tcg.TPMCCNVWrite, handles{x, x}, auths{tpmtest.Password("new")}, "x", 0)
}
