package command_test

import (
	"bytes"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// auditedCommands asks which commands are audited.
func auditedCommands(tpm *tpmtest.TPM) (list []tcg.TPMCC) {
	r := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapAuditCommands, 0, 100)
	r.Bytes(5) // moreData and capability
	for range r.Uint32() {
		list = append(list, tcg.TPMCC(r.Uint32()))
	}
	return list
}

// TestSetCommandCodeAuditStatus: setList comes before clearList, what cannot be
// changed is passed over, and another algorithm begins the digest again (Part 3,
// 21.1 and 21.2).
func TestSetCommandCodeAuditStatus(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	const self, random, clock = tcg.TPMCCSetCommandCodeAuditStatus, tcg.TPMCCGetRandom, tcg.TPMCCReadClock
	var want []byte
	set := func(hierarchy tcg.TPMHandle, set, clear tcg.TPMLCC, list ...tcg.TPMCC) {
		t.Helper()
		tpm.Do(self, handles{hierarchy}, nil, nil, set, clear)
		params := append([]byte{0, byte(tcg.TPMAlgNull)}, append(tcg.Marshal(set), tcg.Marshal(clear)...)...)
		want = audited(tcg.TPMAlgSHA256, want, self, tcg.Marshal(hierarchy), params, nil)
		if got := auditedCommands(tpm); !slices.Equal(got, list) {
			t.Errorf("audited are %v, not %v", got, list)
		}
	}
	if got := auditedCommands(tpm); !slices.Equal(got, []tcg.TPMCC{self}) {
		t.Errorf("on a new TPM audited are %v", got)
	}
	set(owner, codesList(clock, random), nil, self, random, clock)
	set(platform, codesList(random), codesList(tcg.TPMCCHash), self, random, clock)
	set(owner, nil, codesList(clock, self), self, random)
	set(owner, codesList(clock), codesList(clock), self, random)
	set(owner, codesList(tcg.TPMCCShutdown, 0x20000001, 0x7777), nil, self, random)
	if got := commandAudit(tpm); !bytes.Equal(got.AuditDigest, want) {
		t.Errorf("audit digest %x, not %x", got.AuditDigest, want)
	}
	// The present algorithm is no change of it.
	tpm.Do(self, handles{owner}, nil, tcg.TPMAlgSHA256, nil, codesList(random))
	before := commandAudit(tpm)
	tpm.Do(self, handles{owner}, nil, tcg.TPMAlgSHA384, nil, nil) // is not audited
	if got := commandAudit(tpm); got.DigestAlg != tcg.TPMAlgSHA384 || len(got.AuditDigest) != 0 {
		t.Errorf("after the change: %v, digest %x", got.DigestAlg, got.AuditDigest)
	}
	tpm.Do(self, handles{owner}, nil, nil, nil, nil)
	if got := commandAudit(tpm); len(got.AuditDigest) != 48 || got.AuditCounter != before.AuditCounter+1 {
		t.Errorf("audited again: digest of %d bytes, counter %d after %d", len(got.AuditDigest), got.AuditCounter, before.AuditCounter)
	}
	tpm.PowerLoss()
	if got := commandAudit(tpm); got.DigestAlg != tcg.TPMAlgSHA384 || !slices.Equal(auditedCommands(tpm), []tcg.TPMCC{self}) {
		t.Errorf("after a loss of power: %v, %v", got.DigestAlg, auditedCommands(tpm))
	}
}

func TestSetCommandCodeAuditStatusCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCSetCommandCodeAuditStatus)
	h, list := handles{owner}, codesList(tcg.TPMCCGetRandom)
	c.row(tcg.TPMRCValue.P(1), "another algorithm and setList", h, tcg.TPMAlgSHA384, list, nil)
	c.row(tcg.TPMRCValue.P(1), "another algorithm and clearList", h, tcg.TPMAlgSHA384, nil, list)
	c.row(tcg.TPMRCHash.P(1), "a cipher", h, tcg.TPMAlgAES, nil, nil)
	c.row(tcg.TPMRCSize.P(2), "more commands than a list has", h, nil, tpmtest.Raw{0, 1, 0, 0}, nil)
	c.row(tcg.TPMRCInsufficient.P(3), "a list that is cut", h, nil, nil, tpmtest.Raw{0, 0, 0, 1, 0})
	c.row(tcg.TPMRCValue.H(1), "by the privacy administrator", handles{endorsement}, nil, list, nil)
	if got := auditedCommands(tpm); len(got) != 1 {
		t.Errorf("after all that audited are %v", got)
	}
}
