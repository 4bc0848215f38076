package command_test

import (
	"bytes"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// start starts a hash sequence, or with TPM_ALG_NULL an event sequence.
func start(tpm *tpmtest.TPM, auth string, alg tcg.TPMAlgID) tcg.TPMHandle {
	return tpm.Do(tcg.TPMCCHashSequenceStart, nil, nil, auth, alg).Handle
}

// TestHashSequence: the digest is that of all pieces, and the first piece decides
// whether it is safe to sign. A sequence that is complete is gone (Part 3, 17.4,
// 17.7 and 17.8).
func TestHashSequence(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for alg := range goHashes {
		for _, c := range []struct {
			pieces    []string // the last one with TPM2_SequenceComplete
			hierarchy tcg.TPMHandle
			safe      bool
		}{
			{[]string{"message"}, owner, true},
			{[]string{"a message", " in ", "pieces"}, endorsement, true},
			{[]string{"a message", ""}, owner, true},
			{[]string{"a message", ""}, null, false},
			{[]string{""}, owner, false},
			{[]string{"abc", "and more"}, owner, false},
			{[]string{"", "message"}, owner, false},
			{[]string{generated}, owner, false},
			{[]string{generated, "message"}, owner, false},
			{[]string{"message", generated}, owner, true},
		} {
			h := start(tpm, "", alg)
			all, last := "", len(c.pieces)-1
			for _, p := range c.pieces[:last] {
				tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, p)
				all += p
			}
			r := tpm.Do(tcg.TPMCCSequenceComplete, handles{h}, nil, c.pieces[last], c.hierarchy)
			if got, want := take(r), sum(alg, []byte(all+c.pieces[last])); !bytes.Equal(got, want) {
				t.Errorf("%v of %q: %x, not %x", alg, c.pieces, got, want)
			}
			k := hashTicket(r)
			if (len(k.Digest) != 0) != c.safe || c.safe && k.Hierarchy != c.hierarchy || !c.safe && k.Hierarchy != null {
				t.Errorf("%q: ticket of hierarchy %#x, digest %x", c.pieces, k.Hierarchy, k.Digest)
			}
			if c.safe && !bytes.Equal(k.Digest, hashTicketOf(tpm, alg, all+c.pieces[last], c.hierarchy)) {
				t.Errorf("%q: another ticket than TPM2_Hash has", c.pieces)
			}
			tpm.Want(tcg.TPMRCReferenceH0, tcg.TPMCCSequenceUpdate, handles{h}, nil, "more")
		}
	}
}

// hashTicketOf is the digest of the ticket that TPM2_Hash returns.
func hashTicketOf(tpm *tpmtest.TPM, alg tcg.TPMAlgID, data string, hierarchy tcg.TPMHandle) []byte {
	r := tpm.Do(tcg.TPMCCHash, nil, nil, data, alg, hierarchy)
	take(r)
	return hashTicket(r).Digest
}

// TestSequences: several run at once, each with its own authorization value, and
// a command that fails changes none (Part 3, 17.7).
func TestSequences(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	a, b := start(tpm, "a", tcg.TPMAlgSHA256), start(tpm, "b\x00", tcg.TPMAlgSHA384)
	byA, byB := auths{tpmtest.Password("a")}, auths{tpmtest.Password("b")}
	tpm.Do(tcg.TPMCCSequenceUpdate, handles{a}, byA, "one")
	tpm.Do(tcg.TPMCCSequenceUpdate, handles{b}, byB, "two")
	tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCSequenceUpdate, handles{a}, byB, "three")
	tpm.Want(tcg.TPMRCSize.P(1), tcg.TPMCCSequenceUpdate, handles{a}, byA, make([]byte, 1025))
	tpm.Want(tcg.TPMRCValue.P(2), tcg.TPMCCSequenceComplete, handles{a}, byA, "four", lockout)
	tpm.Do(tcg.TPMCCSequenceUpdate, handles{a}, byA, "")
	if got := take(tpm.Do(tcg.TPMCCSequenceComplete, handles{a}, byA, "", null)); !bytes.Equal(got, sum(tcg.TPMAlgSHA256, []byte("one"))) {
		t.Errorf("a: %x", got)
	}
	if got := take(tpm.Do(tcg.TPMCCSequenceComplete, handles{b}, byB, "more", null)); !bytes.Equal(got, sum(tcg.TPMAlgSHA384, []byte("twomore"))) {
		t.Errorf("b: %x", got)
	}
}

// TestMACSequence: the MAC in pieces is that of TPM2_MAC, and no digest that a
// restricted key would sign (Part 3, 17.3 and 17.8).
func TestMACSequence(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	cmac := tpmtest.AES(sign)
	cmac.Sym.Mode = tcg.TPMAlgCMAC
	for name, p := range map[string]tcg.TPMTPublic{"HMAC": tpmtest.HMAC(0), "CMAC": cmac} {
		key := tpm.Primary(owner, p, none)
		h := tpm.Do(tcg.TPMCCMACStart, handles{key.Handle}, nil, "a", nil).Handle
		a := auths{tpmtest.Password("a")}
		tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, a, "a message of more than a block, ")
		r := tpm.Do(tcg.TPMCCSequenceComplete, handles{h}, a, "in pieces", owner)
		want := take(tpm.Do(tcg.TPMCCMAC, handles{key.Handle}, nil, "a message of more than a block, in pieces", nil))
		if got := take(r); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, not %x", name, got, want)
		}
		if k := hashTicket(r); k.Hierarchy != null || len(k.Digest) != 0 {
			t.Errorf("%s: a ticket of hierarchy %#x", name, k.Hierarchy)
		}
	}
}

func TestHashSequenceStartCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCHashSequenceStart)
	c.row(tcg.TPMRCHash.P(2), "an algorithm that is no hash", nil, nil, tcg.TPMAlgAES)
	c.row(tcg.TPMRCSize.P(1), "an authorization value longer than any digest", nil, make([]byte, 65), tcg.TPMAlgSHA256)
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", nil, nil, tcg.TPMAlgSHA256)
	c.row(tcg.TPMRCObjectMemory, "no slot is free for an event", nil, nil, tcg.TPMAlgNull)
}

func TestMACStartCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCMACStart)
	macRows(c)
	key := tpm.Primary(owner, tpmtest.HMAC(0), none)
	c.row(tcg.TPMRCSize.P(1), "an authorization value longer than any digest", handles{key.Handle}, make([]byte, 65), nil)
	fill(t, tpm)
	c.row(tcg.TPMRCObjectMemory, "no slot is free", handles{key.Handle}, nil, nil)
}

func TestSequenceUpdateCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSequenceUpdate)
	c.row(tcg.TPMRCMode.H(1), "a key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle}, "data")
	c.row(tcg.TPMRCSize.P(1), "data beyond a buffer", handles{sequence(tpm)}, make([]byte, 1025))
	c.row(tcg.TPMRCSuccess, "as much as a buffer takes", handles{sequence(tpm)}, make([]byte, 1024))
	c.by(tcg.TPMRCBadAuth.S(1), "a wrong password", handles{start(tpm, "a", tcg.TPMAlgNull)}, auths{tpmtest.Password("b")}, "data")
}

func TestSequenceCompleteCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSequenceComplete)
	h := handles{sequence(tpm)}
	c.row(tcg.TPMRCMode.H(1), "a key", handles{tpm.Primary(owner, tpmtest.HMAC(0), none).Handle}, "data", owner)
	c.row(tcg.TPMRCMode.H(1), "an event sequence", handles{start(tpm, "", tcg.TPMAlgNull)}, "data", owner)
	c.row(tcg.TPMRCValue.P(2), "what is no hierarchy", h, "data", lockout)
	c.row(tcg.TPMRCValue.P(2), "a hierarchy of firmware to come", h, "data", tcg.TPMRHSVNOwnerBase+0xFFFF)
	disable(tpm, owner)
	c.row(tcg.TPMRCSuccess, "a hierarchy that is disabled", h, "data", owner)
}

// TestEventSequence: each bank has its digest returned, be there PCRs in it or not,
// and the PCR is extended with them; TPM_RH_NULL is no PCR (Part 3, 17.9).
func TestEventSequence(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA384))
	tpm.Reset()
	for _, n := range []tcg.TPMHandle{16, null} {
		before := pcr(tpm, 16)
		h := start(tpm, "", tcg.TPMAlgNull)
		tpm.Do(tcg.TPMCCSequenceUpdate, handles{h}, nil, "one ")
		r := tpm.Do(tcg.TPMCCEventSequenceComplete, handles{n, h}, nil, "event")
		if algs := checkEvent(t, r, "one event"); !slices.Equal(algs, allBanks) {
			t.Errorf("digests of %v", algs)
		}
		after := pcr(tpm, 16)
		if want := extended(before, sum(tcg.TPMAlgSHA256, []byte("one event"))); n == 16 && after != want {
			t.Errorf("PCR 16 is %s, not %s", after, want)
		}
		if n == null && after != before {
			t.Errorf("PCR 16 was %s and is %s", before, after)
		}
		tpm.Want(tcg.TPMRCReferenceH0, tcg.TPMCCSequenceUpdate, handles{h}, nil, "more")
	}
}

func TestEventSequenceCompleteCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCEventSequenceComplete)
	event := start(tpm, "", tcg.TPMAlgNull)
	c.row(tcg.TPMRCMode.H(2), "a hash sequence", handles{16, sequence(tpm)}, "data")
	c.row(tcg.TPMRCMode.H(2), "a key", handles{16, tpm.Primary(owner, tpmtest.HMAC(0), none).Handle}, "data")
	c.row(tcg.TPMRCLocality, "a PCR of the dynamic launch", handles{18, event}, "data")
	c.row(tcg.TPMRCValue.H(1), "no such PCR", handles{24, event}, "data")
	c.row(tcg.TPMRCSuccess, "after all that", handles{16, event}, "data")
}
