package command_test

import (
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// allPCRs are the numbers of all PCRs.
func allPCRs() (all []int) {
	for n := range 24 {
		all = append(all, n)
	}
	return all
}

// TestPCRAllocate: a bank that is listed changes, the others do not, and nothing
// before the next _TPM_Init; until then the state cannot be saved (Part 3, 22.5).
func TestPCRAllocate(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	has := func(alg tcg.TPMAlgID) bool { return one(tpm, alg, 1) != nil }
	both := func() [2]bool { return [2]bool{has(tcg.TPMAlgSHA256), has(tcg.TPMAlgSHA384)} }
	if both() != [2]bool{true, true} {
		t.Fatal("the profile has other banks")
	}
	r := tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA384))
	success, most, needed, available := r.Uint8(), r.Uint32(), r.Uint32(), r.Uint32()
	if success != 1 || most != 24 || needed == 0 || needed > available {
		t.Errorf("allocationSuccess %d, maxPCR %d, sizeNeeded %d, sizeAvailable %d", success, most, needed, available)
	}
	if both() != [2]bool{true, true} {
		t.Error("a bank changed at once")
	}
	tpm.Want(tcg.TPMRCType.P(1), tcg.TPMCCShutdown, nil, nil, tcg.TPMSUState)
	tpm.Reset()
	if both() != [2]bool{true, false} {
		t.Error("the bank of SHA-384 is still there, or another is not")
	}
	// A digest for a bank that has no PCR is not used, and is no error.
	tpm.Do(tcg.TPMCCPCRExtend, handles{1}, nil, digestValues(tcg.TPMAlgSHA384))
	// The last of several counts.
	tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA384, 2))
	tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(tcg.TPMAlgSHA384, allPCRs()...))
	tpm.Reset()
	if both() != [2]bool{true, true} {
		t.Error("the bank of SHA-384 is not back")
	}
	tpm.Resume()
}

func TestPCRAllocateCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPCRAllocate)
	for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512} {
		if one(tpm, alg, 0) != nil {
			tpm.Do(tcg.TPMCCPCRAllocate, handles{platform}, nil, bank(alg))
		}
	}
	h := handles{platform}
	c.row(tcg.TPMRCPCR, "no bank at all", h, bank(tcg.TPMAlgSHA256))
	c.row(tcg.TPMRCPCR, "no bank has the PCR of the H-CRTM", h, bank(tcg.TPMAlgSHA256, allPCRs()[1:]...))
	c.row(tcg.TPMRCPCR, "no bank has the PCR of the dynamic launch", h, bank(tcg.TPMAlgSHA256, allPCRs()[:17]...))
	c.row(tcg.TPMRCHash.P(1), "a bank of no hash algorithm", h, bank(tcg.TPMAlgAES, 0))
	c.row(tcg.TPMRCSuccess, "these two alone", h, bank(tcg.TPMAlgSHA256, 0, 17))
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner}, bank(tcg.TPMAlgSHA256, allPCRs()...))
	disable(tpm, platform)
	c.row(tcg.TPMRCHierarchy.H(1), "the platform hierarchy is disabled", h, bank(tcg.TPMAlgSHA256, allPCRs()...))
}

func TestPCRSetAuthValueCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCPCRSetAuthValue)
	for n := range tcg.TPMHandle(24) {
		c.row(tcg.TPMRCValue.H(1), "no PCR has a value of its own", handles{n}, "a")
	}
	c.row(tcg.TPMRCValue.H(1), "no such PCR", handles{24}, "a")
	c.row(tcg.TPMRCValue.H(1), "none", handles{null}, "a")
}

func TestPCRSetAuthPolicyCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCPCRSetAuthPolicy)
	h, digest := handles{platform}, make([]byte, 33)
	for n := range 24 {
		c.row(tcg.TPMRCValue.P(3), "no PCR has a policy of its own", h, digest[:32], tcg.TPMAlgSHA256, n)
		c.row(tcg.TPMRCValue.P(3), "nor has it none", h, nil, tcg.TPMAlgNull, n)
	}
	c.row(tcg.TPMRCValue.P(3), "no such PCR", h, digest[:32], tcg.TPMAlgSHA256, 24)
	c.row(tcg.TPMRCSize.P(1), "a digest that is cut", h, digest[:31], tcg.TPMAlgSHA256, 16)
	c.row(tcg.TPMRCSize.P(1), "a digest that is too long", h, digest, tcg.TPMAlgSHA256, 16)
	c.row(tcg.TPMRCSize.P(1), "a digest of no algorithm", h, digest[:1], tcg.TPMAlgNull, 16)
	c.row(tcg.TPMRCHash.P(2), "a cipher", h, digest[:32], tcg.TPMAlgAES, 16)
}
