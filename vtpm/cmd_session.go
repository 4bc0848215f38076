package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 11 - Session Commands.
var sessionCommands = commandTable{
	tcg.TPMCCStartAuthSession: (*Device).startAuthSession,
	tcg.TPMCCPolicyRestart:    (*Device).policyRestart,
}

// minNonce is the size in bytes of the smallest nonceCaller (Part 3, 11.1).
const minNonce = 16

// startAuthSession is TPM2_StartAuthSession.
//
//	TPM_RC_ATTRIBUTES        tpmKey is not a decryption key
//	TPM_RC_HANDLE            tpmKey or bind has no private part loaded, or bind is
//	                         a PIN index
//	TPM_RC_KEY               tpmKey is not of an asymmetric type, or has no Name
//	TPM_RC_SIZE              nonceCaller is shorter than 16 bytes or longer than
//	                         the digest of authHash; or encryptedSalt without key
//	TPM_RC_VALUE             the salt does not decrypt, or tpmKey is for another
//	                         scheme than OAEP
//	TPM_RC_SESSION_HANDLES   all sessions are active
//	TPM_RC_SESSION_MEMORY    all session slots are loaded
//	TPM_RC_CONTEXT_GAP       a saved session is too old to allow another
func (d *Device) startAuthSession(c *call) error {
	r := c.reader()
	nonce := r.next().Digest()
	salt := r.next().EncryptedSecret()
	sessionType := r.next().SE()
	var symmetric tcg.TPMTSymDef
	symmetric.UnmarshalPlus(r.next())
	hash := r.next().HashAlg()
	if err := r.end(); err != nil {
		return err
	}
	alg := tcg.TPMAlgID(hash)
	key, bind := c.handles[0], c.handles[1]
	if x := d.perm.nv.indices[bind]; x != nil && x.isPIN() {
		return tcg.TPMRCHandle.H(2) // a session would outlive the limit of tries
	}
	if o := d.objectOrNil(bind); o != nil && o.publicOnly {
		return tcg.TPMRCHandle.H(2)
	}
	if len(nonce) < minNonce || len(nonce) > hashSize(alg) {
		return tcg.TPMRCSize.P(1)
	}
	if m := symmetric.Mode; symmetric.Algorithm != tcg.TPMAlgNull &&
		symmetric.Algorithm != tcg.TPMAlgXOR && m != tcg.TPMAlgCFB {
		return tcg.TPMRCMode.P(4)
	}
	var secret []byte
	if key == tcg.TPMRHNull {
		if len(salt) != 0 {
			return tcg.TPMRCValue.P(2)
		}
	} else {
		o := d.object(key)
		if o.public.Type != tcg.TPMAlgRSA && o.public.Type != tcg.TPMAlgECC || !o.hasName() {
			return tcg.TPMRCKey.H(1)
		}
		if o.publicOnly {
			return tcg.TPMRCHandle.H(1)
		}
		if !o.has(tcg.TPMAObjectDecrypt) {
			return tcg.TPMRCAttributes.H(1)
		}
		if s := o.public.RSA.Scheme.Scheme; o.public.Type == tcg.TPMAlgRSA && s != tcg.TPMAlgNull && s != tcg.TPMAlgOAEP {
			return tcg.TPMRCValue.H(1)
		}
		var rc tcg.TPMRC
		switch secret, rc = d.decryptSecret(o, salt, "SECRET"); rc {
		case tcg.TPMRCSuccess:
		case tcg.TPMRCSize, tcg.TPMRCInsufficient, tcg.TPMRCECCPoint:
			return tcg.TPMRCValue.P(2)
		default:
			return rc.P(2)
		}
		defer tpmcrypto.Zero(secret)
	}
	if d.vol.sessions.count() >= maxLoadedSessions {
		return tcg.TPMRCSessionMemory
	}
	slot, ok := d.reset.contexts.free()
	if !ok {
		return tcg.TPMRCSessionHandles
	}

	s := &session{
		hash:      alg,
		symmetric: symmetric,
		nonceTPM:  d.random(len(nonce)),
	}
	kind := tcg.TPMHTHMACSession
	if sessionType != tcg.TPMSEHMAC {
		kind = tcg.TPMHTPolicySession
		s.policy = newPolicyState(alg, d.timeNow(), d.vol.clock.Epoch)
		s.trial = sessionType == tcg.TPMSETrial
	}
	s.handle = tcg.TPMHandle(kind)<<24 | tcg.TPMHandle(slot)
	var auth []byte
	if bind != tcg.TPMRHNull {
		auth = bytes.Clone(d.entityAuth(bind))
		if s.policy == nil {
			name, _ := d.entityName(bind)
			s.bindName = append([]byte{}, name...) // that of a sequence is empty
			s.bindAuth = auth
		}
		s.bound = true
		s.daBound = !d.daExempt(bind)
		s.lockoutBound = bind == tcg.TPMRHLockout
	}
	if len(auth)+len(secret) > 0 || key != tcg.TPMRHNull || bind != tcg.TPMRHNull {
		s.key = tpmcrypto.KDFa(alg, append(bytes.Clone(auth), secret...), "ATH", s.nonceTPM, nonce, 8*hashSize(alg))
	}
	d.vol.sessions[slot] = s
	d.reset.contexts.load(slot)
	c.outHandle = s.handle
	c.out.Sized(s.nonceTPM)
	return nil
}

// policyRestart is TPM2_PolicyRestart.
func (d *Device) policyRestart(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	s := d.session(c.handles[0])
	s.policy.restart(s.hash)
	return nil
}
