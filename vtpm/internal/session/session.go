package session

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// MaxActive and MaxLoaded are limits on sessions
// (TPM_PT_ACTIVE_SESSIONS_MAX, TPM_PT_HR_LOADED_MIN). The second leaves a resource
// manager and several tools beside it undisturbed.
const (
	MaxActive = 64
	MaxLoaded = 16
)

// A Session is an authorization session (Part 1, "Authorizations and
// Acknowledgments").
type Session struct {
	Handle    tcg.TPMHandle
	Policy    *Policy // nil for an HMAC session
	Trial     bool
	Hash      tcg.TPMAlgID
	Symmetric tcg.TPMTSymDef
	NonceTPM  []byte
	Key       []byte // sessionKey

	// Bind is the entity that an HMAC session is bound to, and the
	// authorization value that it had then: a changed value ends the binding.
	BindName     []byte
	BindAuth     []byte
	Bound        bool // an authorization value that was not proven is in key
	DABound      bool // bound to an entity that dictionary attack logic protects
	LockoutBound bool

	Audited     bool // AuditDigest is in use
	AuditDigest []byte
}

// Wipe overwrites the secrets of s.
func (s *Session) Wipe() {
	tpmcrypto.Zero(s.Key)
	tpmcrypto.Zero(s.BindAuth)
}
