package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// policyState is what the policy commands have gathered in a policy session
// (Part 1, "Policy Session").
type policyState struct {
	digest []byte

	start      uint64 // ms of Time when the session started
	startEpoch uint32 // time epoch that start is of
	timeout    uint64 // ms of Time at which the session ends; 0 if never
	epoch      uint32 // time epoch that timeout is of

	commandCode tcg.TPMCC // 0 if not restricted

	// At most one of the hashes restricts the session; the others are nil.
	cpHash, nameHash, templateHash, parametersHash []byte

	locality uint8 // TPMA_LOCALITY; 0 if not restricted

	pcrChecked bool   // TPM2_PolicyPCR ran
	pcrCounter uint32 // value of the PCR update counter then

	nvWrittenChecked bool
	nvWritten        bool

	authNeeded, passwordNeeded, presenceNeeded bool

	transport []byte // keys of the SPDM session that is needed; nil if none is
}

// newPolicyState returns the state of a session that started at a value of Time,
// in ms, of a time epoch; its digest is all zeros.
func newPolicyState(hash tcg.TPMAlgID, start uint64, epoch uint32) *policyState {
	return &policyState{digest: make([]byte, hashSize(hash)), start: start, startEpoch: epoch}
}

// usesAuth reports whether the entity's authorization value has to be given.
func (p *policyState) usesAuth() bool { return p.authNeeded || p.passwordNeeded }

// restart forgets what has been gathered, as TPM2_PolicyRestart does.
func (p *policyState) restart(hash tcg.TPMAlgID) { *p = *newPolicyState(hash, p.start, p.startEpoch) }

// limit lets the session end at a value of Time, if it does not end before. One that
// had to end in another epoch has ended.
func (p *policyState) limit(timeout uint64, epoch uint32) {
	if p.timeout == 0 || p.epoch == epoch && timeout < p.timeout {
		p.timeout, p.epoch = timeout, epoch
	}
}

// update makes the digest H(digest || code || parts...) (Part 1, "Policy
// Digest").
func (p *policyState) update(hash tcg.TPMAlgID, code tcg.TPMCC, parts ...[]byte) {
	h := newHash(hash)
	h.Write(p.digest)
	h.Write([]byte{byte(code >> 24), byte(code >> 16), byte(code >> 8), byte(code)})
	for _, b := range parts {
		h.Write(b)
	}
	p.digest = h.Sum(p.digest[:0])
}

// updateRef makes the two-step update that commands with a policyRef use
// (Part 3, 23.2.3 "PolicyUpdate").
func (p *policyState) updateRef(hash tcg.TPMAlgID, code tcg.TPMCC, name, ref []byte) {
	p.update(hash, code, name)
	h := newHash(hash)
	h.Write(p.digest)
	h.Write(ref)
	p.digest = h.Sum(p.digest[:0])
}

// reset0 sets the digest to zeros, as PolicyOR and PolicyAuthorize do before
// they extend it.
func (p *policyState) reset0() { clear(p.digest) }

// checkPolicy checks session i, a policy session, against the entity that it
// authorizes, in the order of Part 3, 5.6, items 6 and 8.
func (d *Device) checkPolicy(c *call, i int) tcg.TPMRC {
	a := &c.sessions[i]
	p := a.s.policy
	if role := c.spec.Handles[i].Role; p.commandCode == 0 && role != tcg.RoleUser && a.handle.Type() != tcg.TPMHTPermanent {
		return tcg.TPMRCPolicyFail // ADMIN and DUP need a policy that names the command
	}
	if p.timeout != 0 && (p.epoch != d.vol.clock.Epoch || p.timeout < d.timeNow()) {
		return tcg.TPMRCExpired
	}
	for _, h := range []struct {
		want []byte
		have func(tcg.TPMAlgID) []byte
	}{{p.cpHash, c.cpHash}, {p.nameHash, c.nameHash}, {p.parametersHash, c.parametersHash}} {
		if h.want != nil && !tpmcrypto.Equal(h.want, h.have(a.s.hash)) {
			return tcg.TPMRCPolicyFail
		}
	}
	if p.commandCode != 0 && p.commandCode != c.spec.Code {
		return tcg.TPMRCPolicyCC
	}
	if entity := d.entityPolicy(a.handle); entity.Hash != a.s.hash || !tpmcrypto.Equal(entity.Digest, p.digest) {
		return tcg.TPMRCPolicyFail
	}
	if p.pcrChecked && p.pcrCounter != d.reset.pcrUpdateCounter {
		return tcg.TPMRCPCRChanged
	}
	if p.locality != 0 && !localityIn(p.locality, c.locality) {
		return tcg.TPMRCLocality
	}
	if p.templateHash != nil && !tpmcrypto.Equal(p.templateHash, c.templateHash(a.s.hash)) {
		return tcg.TPMRCPolicyFail
	}
	// Without a place in that order.
	if p.transport != nil {
		return tcg.TPMRCChannel // commands do not come by SPDM here
	}
	if p.presenceNeeded && !d.vol.physicalPresence {
		return tcg.TPMRCPP
	}
	if x := d.perm.nv.indices[a.handle]; p.nvWrittenChecked && (x == nil || x.written() != p.nvWritten) {
		return tcg.TPMRCPolicyFail
	}
	if c.spec.Code == tcg.TPMCCPolicySecret && !p.authNeeded && !p.passwordNeeded {
		return tcg.TPMRCMode // the secret has to be proven (Part 3, 23.4.1)
	}
	return tcg.TPMRCSuccess
}

// templateHash is the digest over the inPublic parameter of the commands that
// TPM2_PolicyTemplate may restrict.
func (c *call) templateHash(alg tcg.TPMAlgID) []byte {
	switch c.spec.Code {
	case tcg.TPMCCCreate, tcg.TPMCCCreatePrimary, tcg.TPMCCCreateLoaded:
	default:
		return nil
	}
	r := tcg.NewReader(c.params, nil)
	r.Sized(len(c.params)) // inSensitive
	t := r.Sized(len(c.params))
	return digest(alg, t)
}

// parametersHash is the digest over command code and parameters (Part 3,
// TPM2_PolicyParameters).
func (c *call) parametersHash(alg tcg.TPMAlgID) []byte {
	cc := uint32(c.spec.Code)
	return digest(alg, []byte{byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)}, c.params)
}

// localityIn reports whether locality l is in the set attr: a bit each for 0
// to 4, or the number itself from 32 on (Part 2, TPMA_LOCALITY).
func localityIn(attr, l uint8) bool {
	if attr < 32 {
		return l < 5 && attr&(1<<l) != 0
	}
	return attr == l
}
