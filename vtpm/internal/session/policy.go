package session

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// HashRestricted reports whether a hash other than own restricts the session:
// there is room for one of cpHash, nameHash, parametersHash and templateHash.
func (p *Policy) HashRestricted(own []byte) bool {
	n := 0
	for _, h := range [][]byte{p.CPHash, p.NameHash, p.TemplateHash, p.ParametersHash} {
		if h != nil {
			n++
		}
	}
	if own != nil {
		n--
	}
	return n > 0
}

// Policy is what the policy commands have gathered in a policy session
// (Part 1, "Policy Session").
type Policy struct {
	Digest []byte

	Start      uint64 // ms of Time when the session started
	StartEpoch uint32 // time epoch that start is of
	Timeout    uint64 // ms of Time at which the session ends; 0 if never
	Epoch      uint32 // time epoch that timeout is of

	CommandCode tcg.TPMCC // 0 if not restricted

	// At most one of the hashes restricts the session; the others are nil.
	CPHash, NameHash, TemplateHash, ParametersHash []byte

	Locality uint8 // TPMA_LOCALITY; 0 if not restricted

	PCRChecked bool   // TPM2_PolicyPCR ran
	PCRCounter uint32 // value of the PCR update counter then

	NVWrittenChecked bool
	NVWritten        bool

	AuthNeeded, PasswordNeeded, PresenceNeeded bool

	Transport []byte // keys of the SPDM session that is needed; nil if none is
}

// NewPolicy returns the state of a session that started at a value of Time,
// in ms, of a time epoch; its digest is all zeros.
func NewPolicy(hash tcg.TPMAlgID, start uint64, epoch uint32) *Policy {
	return &Policy{Digest: make([]byte, tpmcrypto.MustSize(hash)), Start: start, StartEpoch: epoch}
}

// UsesAuth reports whether the entity's authorization value has to be given.
func (p *Policy) UsesAuth() bool { return p.AuthNeeded || p.PasswordNeeded }

// Restart forgets what has been gathered, as TPM2_PolicyRestart does.
func (p *Policy) Restart(hash tcg.TPMAlgID) { *p = *NewPolicy(hash, p.Start, p.StartEpoch) }

// Limit lets the session end at a value of Time, if it does not end before. One that
// had to end in another epoch has ended.
func (p *Policy) Limit(timeout uint64, epoch uint32) {
	if p.Timeout == 0 || p.Epoch == epoch && timeout < p.Timeout {
		p.Timeout, p.Epoch = timeout, epoch
	}
}

// Update makes the digest H(digest || code || parts...) (Part 1, "Policy
// Digest").
func (p *Policy) Update(hash tcg.TPMAlgID, code tcg.TPMCC, parts ...[]byte) {
	h := tpmcrypto.MustHash(hash)
	h.Write(p.Digest)
	h.Write([]byte{byte(code >> 24), byte(code >> 16), byte(code >> 8), byte(code)})
	for _, b := range parts {
		h.Write(b)
	}
	p.Digest = h.Sum(p.Digest[:0])
}

// UpdateRef makes the two-step update that commands with a policyRef use
// (Part 3, 23.2.3 "PolicyUpdate").
func (p *Policy) UpdateRef(hash tcg.TPMAlgID, code tcg.TPMCC, name, ref []byte) {
	p.Update(hash, code, name)
	h := tpmcrypto.MustHash(hash)
	h.Write(p.Digest)
	h.Write(ref)
	p.Digest = h.Sum(p.Digest[:0])
}

// ZeroDigest sets the digest to zeros, as PolicyOR and PolicyAuthorize do before
// they extend it.
func (p *Policy) ZeroDigest() { clear(p.Digest) }
