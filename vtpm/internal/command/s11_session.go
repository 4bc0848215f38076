package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// minNonce is the size in bytes of the smallest nonceCaller (Part 3, 11.1).
const minNonce = 16

// startAuthSession is TPM2_StartAuthSession, which starts an HMAC, policy or
// trial session.
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
func startAuthSession(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	nonce := r.Next().Digest()
	salt := r.Next().EncryptedSecret()
	sessionType := r.Next().SE()
	var symmetric tcg.TPMTSymDef
	symmetric.UnmarshalPlus(r.Next())
	hash := r.Next().HashAlg()
	if err := r.End(); err != nil {
		return err
	}
	alg := tcg.TPMAlgID(hash)
	key, bind := c.Handles[0], c.Handles[1]
	if x := d.Index(bind); x != nil && x.IsPIN() {
		return tcg.TPMRCHandle.H(2) // a session would outlive the limit of tries
	}
	if o := d.ObjectOrNil(bind); o != nil && o.PublicOnly {
		return tcg.TPMRCHandle.H(2)
	}
	if len(nonce) < minNonce || len(nonce) > tpmcrypto.MustSize(alg) {
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
		o := d.Object(key)
		if t := o.Public.Type; t != tcg.TPMAlgRSA && t != tcg.TPMAlgECC && t != tcg.TPMAlgMLKEM || !o.HasName() {
			return tcg.TPMRCKey.H(1)
		}
		if o.PublicOnly {
			return tcg.TPMRCHandle.H(1)
		}
		if !o.Has(tcg.TPMAObjectDecrypt) {
			return tcg.TPMRCAttributes.H(1)
		}
		if s := o.Public.RSA.Scheme.Scheme; o.Public.Type == tcg.TPMAlgRSA && s != tcg.TPMAlgNull && s != tcg.TPMAlgOAEP {
			return tcg.TPMRCValue.H(1)
		}
		var rc tcg.TPMRC
		switch secret, rc = decryptSecret(d, o, salt, "SECRET"); rc {
		case tcg.TPMRCSuccess:
		case tcg.TPMRCSize, tcg.TPMRCInsufficient, tcg.TPMRCECCPoint:
			return tcg.TPMRCValue.P(2)
		default:
			return rc.P(2)
		}
		defer tpmcrypto.Zero(secret)
	}
	if d.Vol.Sessions.Count() >= session.MaxLoaded {
		return tcg.TPMRCSessionMemory
	}
	slot, ok := d.Reset.Contexts.Free()
	if !ok {
		return tcg.TPMRCSessionHandles
	}

	s := &session.Session{
		Hash:      alg,
		Symmetric: symmetric,
		NonceTPM:  d.Random(len(nonce)),
	}
	kind := tcg.TPMHTHMACSession
	if sessionType != tcg.TPMSEHMAC {
		kind = tcg.TPMHTPolicySession
		s.Policy = session.NewPolicy(alg, d.TimeNow(), d.Vol.Clock.Epoch)
		s.Trial = sessionType == tcg.TPMSETrial
	}
	s.Handle = tcg.TPMHandle(kind)<<24 | tcg.TPMHandle(slot)
	var auth []byte
	if bind != tcg.TPMRHNull {
		auth = bytes.Clone(d.EntityAuth(bind))
		if s.Policy == nil {
			name, _ := d.EntityName(bind)
			s.BindName = append([]byte{}, name...) // that of a sequence is empty
			s.BindAuth = auth
		}
		s.Bound = true
		s.DABound = !d.DAExempt(bind)
		s.LockoutBound = bind == tcg.TPMRHLockout
	}
	if len(auth)+len(secret) > 0 || key != tcg.TPMRHNull || bind != tcg.TPMRHNull {
		s.Key = tpmcrypto.KDFa(alg, append(bytes.Clone(auth), secret...), "ATH", s.NonceTPM, nonce, 8*tpmcrypto.MustSize(alg))
	}
	d.Vol.Sessions[slot] = s
	d.Reset.Contexts.Load(slot)
	c.OutHandle = s.Handle
	c.Out.Sized(s.NonceTPM)
	return nil
}

// policyRestart is TPM2_PolicyRestart, which takes a policy session back to its
// start.
func policyRestart(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	s := d.Session(c.Handles[0])
	s.Policy.Restart(s.Hash)
	return nil
}
