package command_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// A policy sends the commands of a policy into a session.
type policy func(tpm *tpmtest.TPM, s *tpmtest.Session)

// step is a policy of one command that takes the session and parameters.
func step(cc tcg.TPMCC, params ...any) policy {
	return func(tpm *tpmtest.TPM, s *tpmtest.Session) { tpm.Do(cc, handles{s.Handle}, nil, params...) }
}

// digest returns the policyDigest of a session.
func digest(tpm *tpmtest.TPM, s *tpmtest.Session) []byte {
	return take(tpm.Do(tcg.TPMCCPolicyGetDigest, handles{s.Handle}, nil))
}

// trial computes a policy's digest in a trial session.
func trial(tpm *tpmtest.TPM, p policy) []byte {
	s := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial})
	defer tpm.Flush(s.Handle)
	p(tpm, s)
	return digest(tpm, s)
}

// be returns numbers and bytes in the order in which they are sent.
func be(values ...any) (b []byte) {
	for _, v := range values {
		b, _ = binary.Append(b, binary.BigEndian, v)
	}
	return b
}

// zero is the digest that a session begins with.
var zero = make([]byte, 32)

// someHash and someName have the sizes of SHA-256.
var (
	someHash = bytes.Repeat([]byte{7}, 32)
	someName = append([]byte{0, byte(tcg.TPMAlgSHA256)}, someHash...)
)

// firmwareYear is a property that does not change.
const firmwareYear = uint32(tcg.TPMPTYear)

// TestPolicyDigests: what each command makes of policyDigest, by the equation in
// its section of Part 3. A trial session computes the same.
func TestPolicyDigests(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapTPMProperties, firmwareYear, 1)
	year := bytes.Clone(r.Params[len(r.Params)-4:])
	pcrs := bank(tcg.TPMAlgSHA256, 0, 16)
	for _, c := range []struct {
		name   string
		policy policy
		want   []byte // of what is hashed after the old digest
	}{
		{"PolicyPCR", step(tcg.TPMCCPolicyPCR, nil, pcrs), be(tcg.TPMCCPolicyPCR, []byte(pcrs), hash(zero, zero))},
		{"PolicyLocality", step(tcg.TPMCCPolicyLocality, 5), be(tcg.TPMCCPolicyLocality, uint8(5))},
		{"PolicyCommandCode", step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCSign), be(tcg.TPMCCPolicyCommandCode, tcg.TPMCCSign)},
		{"PolicyPhysicalPresence", step(tcg.TPMCCPolicyPhysicalPresence), be(tcg.TPMCCPolicyPhysicalPresence)},
		{"PolicyCpHash", step(tcg.TPMCCPolicyCpHash, someHash), be(tcg.TPMCCPolicyCpHash, someHash)},
		{"PolicyNameHash", step(tcg.TPMCCPolicyNameHash, someHash), be(tcg.TPMCCPolicyNameHash, someHash)},
		{"PolicyTemplate", step(tcg.TPMCCPolicyTemplate, someHash), be(tcg.TPMCCPolicyTemplate, someHash)},
		{"PolicyParameters", step(tcg.TPMCCPolicyParameters, someHash), be(tcg.TPMCCPolicyParameters, someHash)},
		{"PolicyDuplicationSelect with the object", step(tcg.TPMCCPolicyDuplicationSelect, "object", "parent", true),
			be(tcg.TPMCCPolicyDuplicationSelect, []byte("objectparent"), true)},
		{"PolicyDuplicationSelect", step(tcg.TPMCCPolicyDuplicationSelect, "object", "parent", false),
			be(tcg.TPMCCPolicyDuplicationSelect, []byte("parent"), false)},
		{"PolicyAuthValue", step(tcg.TPMCCPolicyAuthValue), be(tcg.TPMCCPolicyAuthValue)},
		{"PolicyPassword", step(tcg.TPMCCPolicyPassword), be(tcg.TPMCCPolicyAuthValue)},
		{"PolicyNvWritten", step(tcg.TPMCCPolicyNvWritten, true), be(tcg.TPMCCPolicyNvWritten, true)},
		{"PolicyCounterTimer", step(tcg.TPMCCPolicyCounterTimer, be(uint64(0)), 8, tcg.TPMEOUnsignedGE),
			be(tcg.TPMCCPolicyCounterTimer, hash(be(uint64(0), uint16(8), tcg.TPMEOUnsignedGE)))},
		{"PolicyCapability", step(tcg.TPMCCPolicyCapability, year, 4, tcg.TPMEOEq, tcg.TPMCapTPMProperties, firmwareYear),
			be(tcg.TPMCCPolicyCapability, hash(be(year, uint16(4), tcg.TPMEOEq, tcg.TPMCapTPMProperties, firmwareYear)))},
		{"PolicyTransportSPDM", step(tcg.TPMCCPolicyTransportSPDM, nil, nil), be(tcg.TPMCCPolicyTransportSPDM)},
		{"PolicyTransportSPDM with a key", step(tcg.TPMCCPolicyTransportSPDM, nil, someName),
			be(tcg.TPMCCPolicyTransportSPDM, hash(be(uint16(0), uint16(len(someName)), someName)))},
	} {
		want := hash(zero, c.want)
		if got := trial(tpm, c.policy); !bytes.Equal(got, want) {
			t.Errorf("%s: the trial's digest is %x, not %x", c.name, got, want)
		}
		s := tpm.StartPolicy()
		c.policy(tpm, s)
		if got := digest(tpm, s); !bytes.Equal(got, want) {
			t.Errorf("%s: the digest is %x, not %x", c.name, got, want)
		}
		// TPM2_PolicyOR takes the digest for one of the branches, and begins again.
		tpm.Do(tcg.TPMCCPolicyOR, handles{s.Handle}, nil, digests("short", string(want)))
		if got, want := digest(tpm, s), hash(zero, be(tcg.TPMCCPolicyOR, []byte("short"), want)); !bytes.Equal(got, want) {
			t.Errorf("%s: after PolicyOR the digest is %x, not %x", c.name, got, want)
		}
		tpm.Flush(s.Handle)
	}
}

// TestPolicyPCR: the digest is over the PCRs as they are, and in a trial over
// what the caller says, be it of PCRs that this TPM has not (Part 3, 23.7).
func TestPolicyPCR(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCPCREvent, handles{8}, nil, "event")
	value := hash(zero, hash([]byte("event")))
	pcrs := bank(tcg.TPMAlgSHA256, 8)
	want := hash(zero, be(tcg.TPMCCPolicyPCR, []byte(pcrs), hash(value)))
	s := tpm.StartPolicy()
	step(tcg.TPMCCPolicyPCR, nil, pcrs)(tpm, s)
	if got := digest(tpm, s); !bytes.Equal(got, want) {
		t.Errorf("the digest is %x, not %x", got, want)
	}
	// Of a bank that there is not, no PCR is left.
	tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA384))
	tpm.Reset()
	want = hash(zero, be(tcg.TPMCCPolicyPCR, []byte(bank(tcg.TPMAlgSHA384)), hash()))
	s = tpm.StartPolicy()
	step(tcg.TPMCCPolicyPCR, nil, bank(tcg.TPMAlgSHA384, 1))(tpm, s)
	if got := digest(tpm, s); !bytes.Equal(got, want) {
		t.Errorf("without the bank, the digest is %x, not %x", got, want)
	}
	absent := bank(tcg.TPMAlgSHA384, 1)
	want = hash(zero, be(tcg.TPMCCPolicyPCR, []byte(absent), someHash))
	if got := trial(tpm, step(tcg.TPMCCPolicyPCR, someHash, absent)); !bytes.Equal(got, want) {
		t.Errorf("without the bank, the trial's digest is %x, not %x", got, want)
	}
}

// digests is a TPML_DIGEST.
func digests(list ...string) tpmtest.Raw {
	b := be(uint32(len(list)))
	for _, v := range list {
		b = append(b, be(uint16(len(v)), []byte(v))...)
	}
	return b
}

// ownerBy makes a policy the owner's, and returns a session that meets it.
func ownerBy(tpm *tpmtest.TPM, p policy) *tpmtest.Session {
	tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{owner}, nil, trial(tpm, p), tcg.TPMAlgSHA256)
	s := tpm.StartPolicy()
	p(tpm, s)
	return s
}

// TestPolicyRestrictions: a session authorizes what its policy allows, and no
// more once the condition does not hold. The command is TPM2_ClockRateAdjust(0)
// by the owner.
func TestPolicyRestrictions(t *testing.T) {
	t.Parallel()
	adjust := be(tcg.TPMCCClockRateAdjust, owner, uint8(0))
	password := func(tpm *tpmtest.TPM, s *tpmtest.Session) {
		step(tcg.TPMCCPolicyPassword)(tpm, s)
		s.PolicyPassword = true
	}
	authValue := func(tpm *tpmtest.TPM, s *tpmtest.Session) {
		step(tcg.TPMCCPolicyAuthValue)(tpm, s)
		s.PolicyAuthValue = true
	}
	newAuth := func(tpm *tpmtest.TPM) { tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{owner}, nil, "new") }
	for _, c := range []struct {
		name   string
		policy policy
		breaks func(tpm *tpmtest.TPM) // the condition, which holds before
		rc     tcg.TPMRC              // of the command then; success if it never runs
	}{
		{"PolicyPCR", step(tcg.TPMCCPolicyPCR, nil, bank(tcg.TPMAlgSHA256, 8)),
			func(tpm *tpmtest.TPM) { tpm.Do(tcg.TPMCCPCREvent, handles{9}, nil, "event") }, tcg.TPMRCPCRChanged},
		{"PolicyLocality", step(tcg.TPMCCPolicyLocality, 1),
			func(tpm *tpmtest.TPM) { tpm.Locality = 1 }, tcg.TPMRCLocality},
		{"PolicyPhysicalPresence", step(tcg.TPMCCPolicyPhysicalPresence),
			func(tpm *tpmtest.TPM) { tpm.SetPhysicalPresence(false) }, tcg.TPMRCPP.S(1)},
		{"PolicyAuthValue", authValue, newAuth, tcg.TPMRCBadAuth.S(1)},
		{"PolicyPassword", password, newAuth, tcg.TPMRCBadAuth.S(1)},
		{"PolicyCounterTimer", step(tcg.TPMCCPolicyCounterTimer, be(uint64(10)), 0, tcg.TPMEOUnsignedLT),
			func(tpm *tpmtest.TPM) { tpm.Clock.Advance(11 * time.Second) }, tcg.TPMRCExpired.S(1)},
		{"PolicyCommandCode", step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCClockRateAdjust), nil, 0},
		{"PolicyCommandCode of another", step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCClockSet), nil, tcg.TPMRCPolicyCC.S(1)},
		{"PolicyCpHash", step(tcg.TPMCCPolicyCpHash, hash(adjust)), nil, 0},
		{"PolicyCpHash of another", step(tcg.TPMCCPolicyCpHash, someHash), nil, tcg.TPMRCPolicyFail.S(1)},
		{"PolicyNameHash", step(tcg.TPMCCPolicyNameHash, hash(be(owner))), nil, 0},
		{"PolicyNameHash of another", step(tcg.TPMCCPolicyNameHash, hash(be(platform))), nil, tcg.TPMRCPolicyFail.S(1)},
		{"PolicyParameters", step(tcg.TPMCCPolicyParameters, hash(be(tcg.TPMCCClockRateAdjust, uint8(0)))), nil, 0},
		{"PolicyParameters of another", step(tcg.TPMCCPolicyParameters, hash(be(tcg.TPMCCClockRateAdjust, uint8(1)))), nil, tcg.TPMRCPolicyFail.S(1)},
		{"PolicyTemplate", step(tcg.TPMCCPolicyTemplate, someHash), nil, tcg.TPMRCPolicyFail.S(1)},
		{"PolicyDuplicationSelect", step(tcg.TPMCCPolicyDuplicationSelect, "", "", false), nil, tcg.TPMRCPolicyFail.S(1)},
		{"PolicyTransportSPDM", step(tcg.TPMCCPolicyTransportSPDM, nil, nil), nil, tcg.TPMRCChannel.S(1)},
		{"PolicyNvWritten", step(tcg.TPMCCPolicyNvWritten, false), nil, tcg.TPMRCPolicyFail.S(1)},
	} {
		tpm := tpmtest.New(t)
		tpm.SetPhysicalPresence(true)
		s := ownerBy(tpm, c.policy)
		run := func() tcg.TPMRC { return tpm.Run(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0).Code }
		if c.breaks != nil {
			if rc := run(); rc != tcg.TPMRCSuccess {
				t.Errorf("%s, while the condition holds: %v", c.name, rc)
			}
			c.policy(tpm, s) // the session has begun again
			c.breaks(tpm)
		}
		if rc := run(); rc != c.rc {
			t.Errorf("%s: %v, not %v", c.name, rc, c.rc)
		}
	}
}

// TestPolicyTemplate: by the owner's policy only what it names can be created.
func TestPolicyTemplate(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	allowed, other := tpmtest.ECC(sign), tpmtest.ECC(decrypt)
	s := ownerBy(tpm, step(tcg.TPMCCPolicyTemplate, hash(tcg.Marshal(&allowed))))
	tpm.Do(tcg.TPMCCCreatePrimary, handles{owner}, auths{s}, none, allowed, nil, nil)
	tpm.Want(tcg.TPMRCPolicyFail.S(1), tcg.TPMCCCreatePrimary, handles{owner}, auths{s}, none, other, nil, nil)
}

// TestPolicyDuplicationSelect: the policy allows duplication, and to that parent
// only.
func TestPolicyDuplicationSelect(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	here, there := tpm.Primary(owner, storage(), none), tpm.Primary(endorsement, storage(), none)
	selects := func(name []byte) policy { return step(tcg.TPMCCPolicyDuplicationSelect, name, there.Name, false) }
	public := tpmtest.ECC(sign)
	public.AuthPolicy = trial(tpm, selects(nil))
	key := tpm.Create(here.Handle, public, none)
	s := tpm.StartPolicy()
	selects(key.Name)(tpm, s)
	tpm.Want(tcg.TPMRCPolicyFail.S(1), tcg.TPMCCDuplicate, handles{key.Handle, here.Handle}, auths{s}, nil, nil)
	tpm.Do(tcg.TPMCCDuplicate, handles{key.Handle, there.Handle}, auths{s}, nil, nil)
}

// TestPolicyNvWritten: a policy for the first write alone.
func TestPolicyNvWritten(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	first := step(tcg.TPMCCPolicyNvWritten, false)
	p := index(8, tcg.TPMANVPolicyWrite|tcg.TPMANVOwnerRead)
	p.AuthPolicy = trial(tpm, first)
	x := define(tpm, owner, p)
	s := tpm.StartPolicy()
	first(tpm, s)
	tpm.Do(tcg.TPMCCNVWrite, handles{x, x}, auths{s}, "12345678", 0)
	tpm.Want(tcg.TPMRCPolicyFail.S(1), tcg.TPMCCNVWrite, handles{x, x}, auths{s}, "12345678", 0)
}
