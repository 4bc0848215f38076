package command_test

import (
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// accessRows are those of every command that writes or reads an index which the
// owner and the index itself may use.
func accessRows(c *codes, x tcg.TPMHandle, params ...any) {
	c.t.Helper()
	f := c.on(c.tpm.Fork())
	f.row(tcg.TPMRCNVAuthorization, "by the platform", handles{platform, x}, params...)
	p := index(8, byOwner|byIndex)
	p.NVIndex = x + 0x100
	f.row(tcg.TPMRCNVAuthorization, "by another index", handles{define(f.tpm, owner, p), x}, params...)
	f.row(tcg.TPMRCHandle.H(2), "no such index", handles{owner, x + 1}, params...)
	f.row(tcg.TPMRCValue.H(1), "by the endorsement hierarchy", handles{endorsement, x}, params...)
	f.tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, owner, false)
	f.row(tcg.TPMRCHandle.H(2), "the hierarchy of the index is disabled", handles{platform, x}, params...)
}

// lockedRow is that of a command for an index that is locked for writing.
func lockedRow(c *codes, x tcg.TPMHandle, params ...any) {
	c.t.Helper()
	c.tpm.Do(tcg.TPMCCNVWriteLock, handles{owner, x}, nil)
	c.row(tcg.TPMRCNVLocked, "it is locked", handles{owner, x}, params...)
}

func TestNVWriteCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVWrite)
	x := define(tpm, owner, index(8, byOwner|byIndex|tcg.TPMANVWriteSTClear))
	accessRows(c, x, "x", 0)
	h := handles{owner, x}
	c.row(tcg.TPMRCSize.P(1), "more than a buffer", h, make([]byte, 1025), 0)
	c.row(tcg.TPMRCNVRange, "beyond the data", h, "ab", 7)
	c.row(tcg.TPMRCNVRange, "more than the data", h, make([]byte, 9), 0)
	c.row(tcg.TPMRCValue.P(2), "an offset beyond the data", h, "", 9)
	c.row(tcg.TPMRCSuccess, "nothing, at the end", h, "", 8)
	lockedRow(c, x, "x", 0)
	for i, kind := range []tcg.TPMNT{tcg.TPMNTCounter, tcg.TPMNTBits, tcg.TPMNTExtend} {
		p := index(8, byOwner|nt(kind))
		if p.NVIndex += tcg.TPMHandle(i + 1); kind == tcg.TPMNTExtend {
			p.DataSize = 32
		}
		c.row(tcg.TPMRCAttributes, "an index of another type", handles{owner, define(tpm, owner, p)}, "12345678", 0)
	}
	all := index(8, byOwner|tcg.TPMANVWriteAll)
	all.NVIndex = 0x01800010
	c.row(tcg.TPMRCNVRange, "a part, where all is to be written", handles{owner, define(tpm, owner, all)}, "1234567", 0)
	c.row(tcg.TPMRCSuccess, "all", handles{owner, all.NVIndex}, "12345678", 0)
	read := index(8, tcg.TPMANVOwnerWrite|tcg.TPMANVAuthRead)
	read.NVIndex = 0x01800011
	c.row(tcg.TPMRCAuthUnavailable.S(1), "by an index that may only be read", handles{define(tpm, owner, read), read.NVIndex}, "x", 0)
}

func TestNVUpdateCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	ordinary := index(8, byOwner)
	ordinary.NVIndex = 0x01800200
	define(tpm, owner, ordinary)
	for i, u := range []struct {
		c      *codes
		kind   tcg.TPMNT
		size   int
		params []any
	}{
		{codesOf(t, tpm, tcg.TPMCCNVIncrement), tcg.TPMNTCounter, 8, nil},
		{codesOf(t, tpm, tcg.TPMCCNVExtend), tcg.TPMNTExtend, 32, []any{"data"}},
		{codesOf(t, tpm, tcg.TPMCCNVSetBits), tcg.TPMNTBits, 8, []any{1}},
	} {
		p := index(u.size, byOwner|byIndex|nt(u.kind)|tcg.TPMANVWriteSTClear)
		p.NVIndex += tcg.TPMHandle(2 * i)
		x := define(tpm, owner, p)
		accessRows(u.c, x, u.params...)
		u.c.row(tcg.TPMRCAttributes.H(2), "an ordinary index", handles{owner, ordinary.NVIndex}, u.params...)
		u.c.row(tcg.TPMRCSuccess, "", handles{owner, x}, u.params...)
		lockedRow(u.c, x, u.params...)
	}
}

func TestNVLockCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	wl, rl, global := codesOf(t, tpm, tcg.TPMCCNVWriteLock), codesOf(t, tpm, tcg.TPMCCNVReadLock), codesOf(t, tpm, tcg.TPMCCNVGlobalWriteLock)
	x := define(tpm, owner, index(8, byOwner|byIndex))
	h := handles{owner, x}
	for _, c := range []*codes{wl, rl} {
		accessRows(c, x)
		c.row(tcg.TPMRCAttributes.H(2), "an index that cannot be locked", h)
	}
	global.row(tcg.TPMRCValue.H(1), "by the endorsement hierarchy", handles{endorsement})
	global.row(tcg.TPMRCValue.H(1), "by an index", handles{x})
	global.row(tcg.TPMRCSuccess, "by the platform", handles{platform})
}

func TestNVReadCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVRead)
	x := define(tpm, owner, index(1100, byOwner|byIndex|tcg.TPMANVReadSTClear))
	accessRows(c, x, 1, 0)
	h := handles{owner, x}
	c.row(tcg.TPMRCNVUninitialized, "nothing is written", h, 0, 0)
	tpm.Do(tcg.TPMCCNVWrite, h, nil, "x", 0)
	c.row(tcg.TPMRCValue.P(1), "more than a buffer", h, 1025, 0)
	c.row(tcg.TPMRCValue.P(2), "an offset beyond the data", h, 0, 1101)
	c.row(tcg.TPMRCNVRange, "beyond the data", h, 1024, 77)
	c.row(tcg.TPMRCSuccess, "a buffer, to the end", h, 1024, 76)
	c.row(tcg.TPMRCSuccess, "nothing, at the end", h, 0, 1100)
	tpm.Do(tcg.TPMCCNVReadLock, h, nil)
	c.row(tcg.TPMRCNVLocked, "it is locked", h, 1, 0)
}

func TestNVChangeAuthCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCNVChangeAuth)
	change := step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCNVChangeAuth)
	p := index(1, byIndex)
	p.AuthPolicy = trial(tpm, change)
	x := define(tpm, owner, p)
	s := tpm.StartPolicy()
	c.row(tcg.TPMRCAuthType, "by its authorization value", handles{x}, "new")
	c.by(tcg.TPMRCPolicyFail.S(1), "by another policy", handles{x}, auths{s}, "new")
	change(tpm, s)
	c.by(tcg.TPMRCSize.P(1), "longer than nameAlg's digest", handles{x}, auths{s}, make33())
	c.by(tcg.TPMRCSuccess, "as long, and zeros", handles{x}, auths{s}, append(someHash, 0))
}
