package command

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// checkAttestKey checks, for an attestation command whose signing key is the
// n-th handle, that the key may sign it, and chooses the scheme. The null
// handle stands for no signature.
//
//	TPM_RC_KEY     the handle is not of a signing key
//	TPM_RC_SCHEME  not a scheme of the key
func checkAttestKey(d *engine.Device, h tcg.TPMHandle, n, param int, asked tcg.TPMTSigScheme) (*object.Object, tcg.TPMTSigScheme, tcg.TPMRC) {
	if h == tcg.TPMRHNull {
		return nil, tcg.TPMTSigScheme{Scheme: tcg.TPMAlgNull}, tcg.TPMRCSuccess
	}
	o := d.Object(h)
	if o.Seq != nil || !o.Has(tcg.TPMAObjectSignEncrypt) || o.Public.Type == tcg.TPMAlgSymCipher {
		return nil, asked, tcg.TPMRCKey.H(n)
	}
	s, rc := object.SignScheme(o, asked)
	if rc != tcg.TPMRCSuccess {
		return nil, s, rc.P(param)
	}
	return o, s, tcg.TPMRCSuccess
}

// attestHash is the hash algorithm of the digest that an attestation structure
// has: the scheme's, or, for a scheme without one, that of the key's Name. key is
// nil for no signature: then the scheme that was asked for says it all. 0, which
// is TPM_RC_SCHEME, if neither names one (errata of version 1.85, 2.6 and 2.7).
func attestHash(key *object.Object, s, asked tcg.TPMTSigScheme) tcg.TPMAlgID {
	switch {
	case key == nil:
		return asked.HashAlg
	case s.HashAlg == 0 && key.HasName():
		return key.Public.NameAlg
	}
	return s.HashAlg
}

// newAttest fills what all attestation structures have in common (Part 3,
// 18.1). o is nil for no signature.
func newAttest(d *engine.Device, o *object.Object, kind tcg.TPMST, extraData []byte) tcg.TPMSAttest {
	a := tcg.TPMSAttest{
		Magic: tcg.TPMGeneratedValue, Type: kind, ExtraData: extraData,
		ClockInfo: d.ClockInfo(), FirmwareVersion: firmwareVersion,
	}
	if o == nil {
		// The qualified name of TPM_RH_NULL is the handle.
		a.QualifiedSigner = tcg.TPMRHNull.Bytes()
		obfuscate(d, &a, tcg.TPMRHNull, a.QualifiedSigner, engine.ContextHash)
		return a
	}
	a.QualifiedSigner = o.QualifiedName
	if b := hierarchy.Base(o.Hierarchy); b != tcg.TPMRHEndorsement && b != tcg.TPMRHPlatform {
		alg := o.Public.NameAlg
		if !o.HasName() {
			alg = engine.ContextHash
		}
		obfuscate(d, &a, tcg.TPMRHOwner, o.QualifiedName, alg)
	}
	return a
}

// obfuscate hides the counters and the firmware version from verifiers that
// did not get the key from the endorsement or platform hierarchy, so that they
// do not tell which TPM it is (Part 1, "Obfuscated Clock").
func obfuscate(d *engine.Device, a *tcg.TPMSAttest, h tcg.TPMHandle, name []byte, alg tcg.TPMAlgID) {
	k := tpmcrypto.KDFa(alg, d.Hierarchies().Proof(h), "OBFUSCATE", name, nil, 128)
	a.FirmwareVersion += uint64(binary.BigEndian.Uint32(k))<<32 | uint64(binary.BigEndian.Uint32(k[4:]))
	a.ClockInfo.ResetCount += binary.BigEndian.Uint32(k[8:])
	a.ClockInfo.RestartCount += binary.BigEndian.Uint32(k[12:])
}

// signAttest writes the attestation structure and its signature. With an
// anonymous scheme the structure does not name the key, and the caller's data are
// hashed with it instead of being in it (Part 1, 44.3.3.3).
func signAttest(d *engine.Device, c *dispatch.Call, o *object.Object, s tcg.TPMTSigScheme, a *tcg.TPMSAttest) error {
	anonymous := o != nil && s.Scheme == tcg.TPMAlgECDAA
	data := a.ExtraData
	if anonymous {
		a.QualifiedSigner, a.ExtraData = nil, nil
	}
	at := len(c.Out.B)
	a.Marshal2B(&c.Out)
	sig := tcg.TPMTSignature{SigAlg: tcg.TPMAlgNull}
	if o != nil {
		var rc tcg.TPMRC
		if message := c.Out.B[at+2:]; o.Public.Type == tcg.TPMAlgMLDSA {
			sig, rc = signMLMessage(d, o, message)
		} else {
			v := tpmcrypto.Digest(s.HashAlg, message)
			if anonymous {
				v = tpmcrypto.Digest(s.HashAlg, data, v)
			}
			sig, rc = sign(d, o, s, v)
		}
		if rc != tcg.TPMRCSuccess {
			return rc
		}
	}
	sig.Marshal(&c.Out)
	return nil
}
