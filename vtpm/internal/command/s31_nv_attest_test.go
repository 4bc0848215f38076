package command_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
	"stubtpm/vtpmmgr/evidence"
)

// An attester is what is behind Config.Attest in these tests.
type attester struct {
	asked  [][]byte
	answer func(ask []byte) ([]byte, error)
	key    []byte // of the last question
}

// attesting makes a TPM with an attester, whose answers begin with the question
// and take several reads.
func attesting(t *testing.T) (*tpmtest.TPM, *attester) {
	a := &attester{answer: func(ask []byte) ([]byte, error) {
		return append(bytes.Clone(ask), bytes.Repeat([]byte("evidence"), 400)...), nil
	}}
	tpm := tpmtest.New(t, func(c *vtpm.Config) {
		c.Attest = func(ask, key []byte) ([]byte, error) {
			a.asked, a.key = append(a.asked, ask), key
			return a.answer(ask)
		}
	})
	return tpm, a
}

// ak is the template of an attestation key.
func ak() tcg.TPMTPublic {
	p := tpmtest.ECC(tpmtest.Fixed | restricted | sign)
	p.ECC.Scheme = ecdsa
	return p
}

// question asks for evidence of the key with a Name.
func question(t *testing.T, nonce string, name []byte) []byte {
	t.Helper()
	ask := evidence.Ask{AK: name}
	if nonce != "" { // else for a certificate
		ask.Nonce = []byte(nonce)
	}
	b, err := ask.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const nonce16, nonce64 = "sixteen bytes !!", "sixteen bytes !!sixteen bytes !!sixteen bytes !!sixteen bytes !!"

// pair is what TPM2_NV_ReadPublic and TPM2_NV_Read have of both indices.
func pair(tpm *tpmtest.TPM) string {
	s := ""
	for _, x := range []tcg.TPMHandle{vtpm.AskIndex, vtpm.AnswerIndex} {
		r := tpm.Do(tcg.TPMCCNVReadPublic, handles{x}, nil)
		s += fmt.Sprintf("%x ", r.Params)
		var p tcg.TPMSNVPublic
		if p.Unmarshal2B(&r.Reader); p.Attributes&tcg.TPMANVWritten != 0 {
			s += fmt.Sprintf("%x ", readBy(tpm, x, x))
		}
	}
	return s
}

// TestAttest: a question about an attestation key that is loaded is answered, whoever
// writes it, and the answer is read by everybody; nothing is saved.
func TestAttest(t *testing.T) {
	t.Parallel()
	tpm, a := attesting(t)
	key := tpm.Primary(endorsement, ak(), none)
	persistent := tpm.Primary(owner, ak(), none)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, persistent.Handle}, nil, 0x81000005)
	names := [][]byte{tpm.Name(key.Handle), tpm.Name(persistent.Handle)}
	tpm.Flush(persistent.Handle)
	if hs := indices(tpm); len(hs) != 2 || hs[0] != vtpm.AskIndex || hs[1] != vtpm.AnswerIndex {
		t.Errorf("TPM2_GetCapability has %v", hs)
	}
	for _, by := range []tcg.TPMHandle{owner, platform, vtpm.AnswerIndex} {
		tpm.Want(tcg.TPMRCNVUninitialized, tcg.TPMCCNVRead, handles{by, vtpm.AnswerIndex}, nil, 0, 0)
	}
	saves, state := tpm.Store.Saves(), tpm.Store.State()
	for i, by := range []tcg.TPMHandle{owner, vtpm.AskIndex, owner, vtpm.AskIndex, owner, vtpm.AskIndex} {
		ask := question(t, []string{nonce16, nonce64, ""}[i/2], names[i%2])
		tpm.Do(tcg.TPMCCNVWrite, handles{by, vtpm.AskIndex}, nil, ask, 0)
		if len(a.asked) != i+1 || !bytes.Equal(a.asked[i], ask) {
			t.Fatalf("asked: %x", a.asked)
		}
		if !bytes.Equal(objectName(t, a.key), names[i%2]) {
			t.Errorf("the key is %x", a.key)
		}
		want, _ := a.answer(ask)
		for _, by := range []tcg.TPMHandle{owner, platform, vtpm.AnswerIndex} {
			if got := readBy(tpm, by, vtpm.AnswerIndex); !bytes.Equal(got, want) {
				t.Errorf("the answer is %x", got)
			}
		}
		if got := readBy(tpm, owner, vtpm.AskIndex); !bytes.HasPrefix(got, ask) || len(got) != evidence.MaxAsk {
			t.Errorf("the question is %x", got)
		}
	}
	tpm.Do(tcg.TPMCCReadOnlyControl, handles{platform}, nil, true)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, vtpm.AskIndex}, nil, question(t, nonce16, names[0]), 0)
	if tpm.Store.Saves() != saves || !bytes.Equal(state, tpm.Store.State()) {
		t.Errorf("%d saves", tpm.Store.Saves()-saves)
	}
	tpm.Device.Init()
	tpm.Do(tcg.TPMCCStartup, nil, nil, tcg.TPMSUClear)
	tpm.Want(tcg.TPMRCNVUninitialized, tcg.TPMCCNVRead, handles{owner, vtpm.AnswerIndex}, nil, 0, 0)
	tpm.Want(tcg.TPMRCNVUninitialized, tcg.TPMCCNVRead, handles{owner, vtpm.AskIndex}, nil, 0, 0)
}

// TestAttestBySessions: go-tpm asks with an HMAC session that encrypts the question and
// reads the answer with one that encrypts that.
func TestAttestBySessions(t *testing.T) {
	t.Parallel()
	tpm, _ := attesting(t)
	key := tpm.Primary(endorsement, ak(), none)
	ask := question(t, nonce16, tpm.Name(key.Handle))
	index := func(h tcg.TPMHandle, s ...tpm2.AuthOption) (tpm2.NamedHandle, tpm2.AuthHandle) {
		public, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(h)}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		n := tpm2.NamedHandle{Handle: tpm2.TPMHandle(h), Name: public.NVName}
		return n, tpm2.AuthHandle{Handle: n.Handle, Name: n.Name, Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, s...)}
	}
	for range 2 { // the second time with the Names of written indices
		x, auth := index(vtpm.AskIndex, tpm2.AESEncryption(128, tpm2.EncryptIn))
		if _, err := (tpm2.NVWrite{AuthHandle: auth, NVIndex: x, Data: tpm2.TPM2BMaxNVBuffer{Buffer: ask}}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
		x, auth = index(vtpm.AnswerIndex, tpm2.AESEncryption(128, tpm2.EncryptOut))
		r, err := tpm2.NVRead{AuthHandle: auth, NVIndex: x, Size: uint16(len(ask))}.Execute(tpm)
		if err != nil || !bytes.Equal(r.Data.Buffer, ask) {
			t.Errorf("%v, %v", r, err)
		}
	}
	tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCNVWrite, handles{vtpm.AskIndex, vtpm.AskIndex}, auths{tpmtest.Password("x")}, ask, 0)
}

// TestAttestRefused: what is no question, or is about a key that could be somebody
// else's, is refused with its code, is not handed on, and changes nothing.
func TestAttestRefused(t *testing.T) {
	t.Parallel()
	tpm, a := attesting(t)
	good := tpm.Primary(endorsement, ak(), none)
	name := tpm.Name(good.Handle)
	ask := question(t, nonce16, name)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, vtpm.AskIndex}, nil, ask, 0)
	before, asked := pair(tpm), len(a.asked)
	refused := func(rc tcg.TPMRC, what string, data []byte, offset int, by tcg.TPMHandle) {
		t.Helper()
		if got := tpm.Run(tcg.TPMCCNVWrite, handles{by, vtpm.AskIndex}, nil, data, offset).Code; got != rc {
			t.Errorf("%s: %v (%#x), not %v", what, got, uint32(got), rc)
		}
		if after := pair(tpm); after != before || len(a.asked) != asked {
			t.Fatalf("%s: asked %d times more; %s", what, len(a.asked)-asked, after)
		}
	}
	refused(tcg.TPMRCNVAuthorization, "by the platform", ask, 0, platform)
	refused(tcg.TPMRCValue.P(2), "not from the beginning", ask[:40], 1, owner)
	refused(tcg.TPMRCValue.P(2), "an offset beyond the index", nil, 134, owner)
	refused(tcg.TPMRCNVRange, "too long", make([]byte, 134), 0, owner)
	value := tcg.TPMRCValue.P(1)
	for i := range ask {
		refused(value, "cut", ask[:i], 0, owner)
	}
	refused(value, "more behind it", append(bytes.Clone(ask), 0), 0, owner)
	version := bytes.Clone(ask)
	version[0] = 2
	refused(value, "another version", version, 0, owner)
	short := append([]byte{1, 15}, nonce16[:15]...)
	refused(value, "a short nonce", append(append(short, byte(len(name))), name...), 0, owner)
	long := append([]byte{1, 65}, nonce64+"x"...)
	refused(value, "a long nonce", append(append(long, byte(len(name))), name...), 0, owner)
	hashless := append([]byte{0, 4}, name[2:22]...)
	refused(value, "a Name by SHA-1", append(append([]byte{1, 16}, nonce16+"\x16"...), hashless...), 0, owner)

	other := tpmtest.New(t)
	foreign := ak()
	foreign.ObjectAttributes |= tcg.TPMAObjectNoDA
	theirs := other.Primary(endorsement, foreign, none)
	about := func(rc tcg.TPMRC, what string, name []byte) {
		t.Helper()
		refused(rc.P(1), what, question(t, nonce16, name), 0, owner)
	}
	about(tcg.TPMRCKey, "a key that is not here", other.Name(theirs.Handle))
	about(tcg.TPMRCAttributes, "another TPM's key, loaded by its public area", tpm.Name(external(tpm, theirs.Public, nil)))
	for what, p := range map[string]tcg.TPMTPublic{
		"not restricted":      tpmtest.ECC(tpmtest.Fixed | sign),
		"not fixedTPM":        tpmtest.ECC(restricted | sign),
		"it decrypts":         storage(),
		"not a key of a pair": tpmtest.HMAC(tpmtest.Fixed | restricted | sign),
	} {
		if p.Type == tcg.TPMAlgECC && p.ObjectAttributes&sign != 0 {
			p.ECC.Scheme = ecdsa
		}
		if p.Type == tcg.TPMAlgKeyedHash {
			p.KeyedHash.Scheme.Scheme, p.KeyedHash.Scheme.HashAlg = tcg.TPMAlgHMAC, tcg.TPMAlgSHA256
		}
		o := tpm.Primary(endorsement, p, none)
		about(tcg.TPMRCAttributes, what, tpm.Name(o.Handle))
		tpm.Flush(o.Handle)
	}
	movable := tpm.Primary(owner, tpmtest.ECC(tpmtest.Parent), none)
	child := ak()
	child.ObjectAttributes &^= tcg.TPMAObjectFixedTPM
	about(tcg.TPMRCAttributes, "a child of a key that may leave", tpm.Name(tpm.Create(movable.Handle, child, none).Handle))
	tpm.Flush(movable.Handle)
	tpm.Flush(good.Handle)
	about(tcg.TPMRCKey, "a key that was flushed", name)
	public := external(tpm, good.Public, nil)
	about(tcg.TPMRCAttributes, "its public area alone", name)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, tpm.Primary(endorsement, ak(), none).Handle}, nil, 0x81000005)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, vtpm.AskIndex}, nil, ask, 0) // the key is here, beside its public area
	tpm.Flush(public)
	before, asked = pair(tpm), len(a.asked)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{platform}, nil, endorsement, false)
	about(tcg.TPMRCKey, "the key's hierarchy is off", name)
}

// TestAttestFails: an error, and what is no answer, drop the earlier answer.
func TestAttestFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		answer []byte
		err    error
		rc     tcg.TPMRC
	}{
		{"an error", []byte("x"), errors.New("no manager"), tcg.TPMRCNVUnavailable},
		{"too often", nil, fmt.Errorf("again: %w", vtpm.ErrRate), tcg.TPMRCNVRate},
		{"nothing", nil, nil, tcg.TPMRCNVUnavailable},
		{"too much", make([]byte, vtpm.MaxAnswer+1), nil, tcg.TPMRCNVUnavailable},
		{"as much as may be", make([]byte, vtpm.MaxAnswer), nil, tcg.TPMRCSuccess},
	} {
		tpm, a := attesting(t)
		ask := question(t, nonce64, tpm.Name(tpm.Primary(endorsement, ak(), none).Handle))
		h := handles{owner, vtpm.AskIndex}
		tpm.Do(tcg.TPMCCNVWrite, h, nil, ask, 0)
		saves := tpm.Store.Saves()
		good := a.answer
		a.answer = func([]byte) ([]byte, error) { return c.answer, c.err }
		if got := tpm.Run(tcg.TPMCCNVWrite, h, nil, ask, 0).Code; got != c.rc {
			t.Errorf("%s: %v", c.what, got)
		}
		if r := tpm.Run(tcg.TPMCCNVRead, handles{owner, vtpm.AnswerIndex}, nil, 1, 0); c.rc == tcg.TPMRCSuccess {
			if got := readBy(tpm, owner, vtpm.AnswerIndex); !bytes.Equal(got, c.answer) {
				t.Errorf("%s: %d bytes are read", c.what, len(got))
			}
		} else if r.Code != tcg.TPMRCNVUninitialized {
			t.Errorf("%s: the earlier answer is read: %v", c.what, r.Code)
		}
		a.answer = good
		tpm.Do(tcg.TPMCCNVWrite, h, nil, ask, 0)
		if tpm.Store.Saves() != saves {
			t.Errorf("%s: the state is saved", c.what)
		}
	}
	// A panic ends as one of the device's own does.
	tpm, a := attesting(t)
	ask := question(t, nonce16, tpm.Name(tpm.Primary(endorsement, ak(), none).Handle))
	a.answer = func([]byte) ([]byte, error) { panic("a fault") }
	tpm.Want(tcg.TPMRCFailure, tcg.TPMCCNVWrite, handles{owner, vtpm.AskIndex}, nil, ask, 0)
	tpm.Want(tcg.TPMRCFailure, tcg.TPMCCGetRandom, nil, nil, 1)
}

// TestAttestIndices: no command defines, deletes or locks the pair, or writes the
// answer, and what reads an index takes them as any other.
func TestAttestIndices(t *testing.T) {
	t.Parallel()
	tpm, _ := attesting(t)
	key := tpm.Primary(endorsement, ak(), none)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, vtpm.AskIndex}, nil, question(t, nonce16, tpm.Name(key.Handle)), 0)
	before := pair(tpm)
	answer := readBy(tpm, owner, vtpm.AnswerIndex)
	for _, x := range []tcg.TPMHandle{vtpm.AskIndex, vtpm.AnswerIndex} {
		for _, c := range []struct {
			cc     tcg.TPMCC
			h      handles
			params []any
		}{
			{tcg.TPMCCNVWrite, handles{platform, x}, []any{"x", 0}},
			{tcg.TPMCCNVWrite, handles{vtpm.AnswerIndex, x}, []any{"x", 0}},
			{tcg.TPMCCNVWrite, handles{owner, vtpm.AnswerIndex}, []any{"x", 0}},
			{tcg.TPMCCNVIncrement, handles{owner, x}, nil}, {tcg.TPMCCNVIncrement, handles{x, x}, nil},
			{tcg.TPMCCNVExtend, handles{owner, x}, []any{"x"}}, {tcg.TPMCCNVExtend, handles{x, x}, []any{"x"}},
			{tcg.TPMCCNVSetBits, handles{owner, x}, []any{1}}, {tcg.TPMCCNVSetBits, handles{x, x}, []any{1}},
			{tcg.TPMCCNVWriteLock, handles{owner, x}, nil}, {tcg.TPMCCNVWriteLock, handles{x, x}, nil},
			{tcg.TPMCCNVReadLock, handles{owner, x}, nil}, {tcg.TPMCCNVReadLock, handles{x, x}, nil},
			{tcg.TPMCCNVChangeAuth, handles{x}, []any{"x"}},
			{tcg.TPMCCNVUndefineSpace, handles{owner, x}, nil}, {tcg.TPMCCNVUndefineSpace, handles{platform, x}, nil},
			{tcg.TPMCCNVUndefineSpaceSpecial, handles{x, platform}, nil},
		} {
			if rc := tpm.Run(c.cc, c.h, nil, c.params...).Code; rc == tcg.TPMRCSuccess {
				t.Errorf("%v of %v succeeds", c.cc, c.h)
			}
			if after := pair(tpm); after != before {
				t.Fatalf("%v of %v: %s", c.cc, c.h, after)
			}
		}
		p := index(8, byPlatform|tcg.TPMANVPlatformCreate)
		p.NVIndex = x
		tpm.Want(tcg.TPMRCNVDefined, tcg.TPMCCNVDefineSpace, handles{platform}, nil, nil, p)

		s := tpm.StartPolicy()
		tpm.Do(tcg.TPMCCPolicyNV, handles{x, x, s.Handle}, nil, readBy(tpm, x, x)[:16], 0, tcg.TPMEOEq)
		tpm.Want(tcg.TPMRCHash, tcg.TPMCCPolicyAuthorizeNV, handles{x, x, s.Handle}, nil)
		tpm.Do(tcg.TPMCCPolicySecret, handles{owner, s.Handle}, nil, nil, nil, nil, 0)
		if rc := tpm.Run(tcg.TPMCCPolicySecret, handles{x, s.Handle}, nil, nil, nil, nil, 0).Code; rc == tcg.TPMRCFailure {
			t.Error("failure mode")
		}
		tpm.Flush(s.Handle)
		tpm.Flush(tpm.StartSession(tpmtest.SessionParams{Bind: x}).Handle)
	}
	tpm.Do(tcg.TPMCCNVGlobalWriteLock, handles{platform}, nil)
	tpm.Do(tcg.TPMCCClear, handles{platform}, nil)
	r := tpm.Do(tcg.TPMCCNVCertify, handles{null, owner, vtpm.AnswerIndex}, nil, "qualifying", schemeOf(tcg.TPMAlgSHA256), 100, 7)
	if !bytes.Contains(r.Params, answer[7:107]) {
		t.Errorf("TPM2_NV_Certify has %x", r.Params)
	}
	if after := pair(tpm); after != before {
		t.Errorf("after all: %s", after)
	}
}

// TestNoAttest: without Config.Attest there are no such indices, and no command makes
// them.
func TestNoAttest(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	if hs := indices(tpm); len(hs) != 0 {
		t.Errorf("TPM2_GetCapability has %v", hs)
	}
	for _, x := range []tcg.TPMHandle{vtpm.AskIndex, vtpm.AnswerIndex} {
		tpm.Want(tcg.TPMRCHandle.H(2), tcg.TPMCCNVWrite, handles{owner, x}, nil, "x", 0)
		tpm.Want(tcg.TPMRCHandle.H(1), tcg.TPMCCNVReadPublic, handles{x}, nil)
		p := index(8, byOwner)
		p.NVIndex = x
		tpm.Want(tcg.TPMRCValue.P(2), tcg.TPMCCNVDefineSpace, handles{owner}, nil, nil, p)
	}
}

// objectName returns the Name of a TPMT_PUBLIC.
func objectName(t *testing.T, public []byte) []byte {
	t.Helper()
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](public)
	if err != nil {
		t.Fatal(err)
	}
	name, err := tpm2.ObjectName(p)
	if err != nil {
		t.Fatal(err)
	}
	return name.Buffer
}
