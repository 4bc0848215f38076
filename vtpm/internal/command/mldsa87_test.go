package command_test

import (
	"bytes"
	"fmt"
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// mldsa87 are templates of keys of ML-DSA-87.
func mldsa87() (all []tcg.TPMTPublic) {
	for _, p := range mldsaSets()[:2] {
		p.MLDSA.ParameterSet = tcg.TPMMLDSA87
		all = append(all, p)
	}
	return append(all, externalMu(tcg.TPMMLDSA87))
}

// tpm87 is a TPM with ML-DSA-87 in its profile, on an interface that carries n bytes.
func tpm87(t *testing.T, n uint32) *tpmtest.TPM {
	t.Helper()
	tpm := tpmtest.New(t, tpmtest.Profile("base = default-v2"))
	tpm.SetBufferSize(n)
	return tpm
}

// TestMLDSA87: with a large buffer the keys do all that those of other sets do, and no
// response is longer than the buffer.
func TestMLDSA87(t *testing.T) {
	t.Parallel()
	const buffer = 5371 // the smallest that will do
	tpm := tpm87(t, buffer)
	if got := property(tpm, tcg.TPMPTMLParameterSets); got != 0x7F {
		t.Errorf("TPM_PT_ML_PARAMETER_SETS is %#x", got)
	}
	if got := property(tpm, tcg.TPMPTMaxResponseSize); got != buffer {
		t.Errorf("TPM_PT_MAX_RESPONSE_SIZE is %d", got)
	}
	x := define(tpm, owner, index(64, byOwner))
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, make([]byte, 64), 0)
	commands := attestations(tpm)
	for _, p := range mldsa87() {
		p.NameAlg = tcg.TPMAlgSHA512
		key := tpm.Primary(owner, p, none)
		checkSignature(t, &key, "context", "message", signMessage(tpm, key.Handle, "context", "message"), nil)
		verified(t, tpm, 0, "its signature", key.Handle, "context", signMessage(tpm, key.Handle, "context", "message"), "message")
		for cc, c := range commands {
			r := c.run(tpm, key.Handle, make([]byte, 64), nil)
			if n := 10 + 4 + 3*133 + len(r.Params); n > buffer {
				t.Errorf("%v: a response of %d bytes", cc, n)
			}
			_, b, sig := attest(tpm, r)
			checkML(t, &key.Public, "", b, sig)
		}
		r := tpm.Do(tcg.TPMCCNVCertify, handles{key.Handle, owner, x}, nil, make([]byte, 64), nil, 0, 0)
		_, b, sig := attest(tpm, r)
		checkML(t, &key.Public, "", b, sig)
		saved := bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{key.Handle}, nil).Params)
		if n, most := len(saved), int(property(tpm, tcg.TPMPTMaxObjectContext)); n > most || n+200 > 4088 {
			t.Errorf("a context of %d bytes, at most %d", n, most)
		}
		tpm.Flush(key.Handle)
		tpm.Flush(tpm.Do(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(saved)).Handle)
	}
}

// TestMLDSASmallBuffer: a parameter set whose signatures the interface does not carry is
// refused by its name wherever a key of it could begin, and does not sign where there is
// one; none is cut.
func TestMLDSASmallBuffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		buffer uint32
		sets   uint32 // TPM_PT_ML_PARAMETER_SETS of ML-DSA
	}{{vtpm.MinBufferSize, 0}, {3163, 0}, {3164, 1}, {4052, 1}, {4053, 3}, {vtpm.MaxCommandSize, 3}, {5370, 3}, {5371, 7}, {vtpm.LargestBuffer, 7}} {
		t.Run(fmt.Sprint(c.buffer), func(t *testing.T) {
			t.Parallel()
			tpm, large := tpm87(t, c.buffer), tpm87(t, vtpm.LargestBuffer)
			if got := property(tpm, tcg.TPMPTMLParameterSets) >> 3 & 7; got != c.sets {
				t.Errorf("sets %#x", got)
			}
			commands := attestations(tpm)
			for set := tcg.TPMMLDSA44; set <= tcg.TPMMLDSA87; set++ {
				p := externalMu(set)
				has := c.sets>>(set-1)&1 != 0
				want := func(what string, refused, got tcg.TPMRC) {
					t.Helper()
					if has && got != 0 || !has && got != refused {
						t.Errorf("set %d, %s: %v", set, what, got)
					}
				}
				key := large.Primary(owner, p, none)
				tpm.SetBufferSize(c.buffer)
				want("TPM2_CreatePrimary", tcg.TPMRCParms.P(2), tpm.Run(tcg.TPMCCCreatePrimary, handles{null}, nil, none, p, nil, nil).Code)
				parms := tcg.TPMTPublicParms{Type: p.Type, MLDSA: p.MLDSA}
				want("TPM2_TestParms", tcg.TPMRCParms.P(1), tpm.Run(tcg.TPMCCTestParms, nil, nil, parms).Code)
				want("TPM2_LoadExternal", tcg.TPMRCParms.P(2), tpm.Run(tcg.TPMCCLoadExternal, nil, nil, nil, key.Public, null).Code)
				// A key that came on a larger interface.
				tpm.SetBufferSize(vtpm.LargestBuffer)
				h := tpm.Primary(owner, p, none).Handle
				seq := startSign(tpm, h, "", "")
				tpm.SetBufferSize(c.buffer)
				before := state(tpm)
				want("TPM2_SignDigest", tcg.TPMRCParms, tpm.Run(tcg.TPMCCSignDigest, handles{h}, nil, nil, make([]byte, 64), nil).Code)
				for cc, a := range commands {
					h, params := a.command(h, nil, nil)
					want(cc.String(), tcg.TPMRCParms, tpm.Run(cc, h, nil, params...).Code)
				}
				if !has && !bytes.Equal(before, state(tpm)) {
					t.Error("what was refused changed something")
				}
				want("TPM2_SignSequenceComplete", tcg.TPMRCParms, tpm.Run(tcg.TPMCCSignSequenceComplete, handles{seq, h}, nil, "message").Code)
				if !has { // the sequence is there, for another interface
					tpm.SetBufferSize(vtpm.LargestBuffer)
					s := signature(tpm.Do(tcg.TPMCCSignSequenceComplete, handles{seq, h}, nil, "message"))
					o := tpmtest.Object{Public: tpm.Public(h)}
					checkSignature(t, &o, "", "message", s, nil)
				}
				tpm.Reset()
				commands = attestations(tpm)
				large.Flush(key.Handle)
			}
		})
	}
}
