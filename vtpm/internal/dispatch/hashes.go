package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// templateHash is the digest over the inPublic parameter of the commands that
// TPM2_PolicyTemplate may restrict.
func (c *Call) templateHash(alg tcg.TPMAlgID) []byte {
	switch c.Spec.Code {
	case tcg.TPMCCCreate, tcg.TPMCCCreatePrimary, tcg.TPMCCCreateLoaded:
	default:
		return nil
	}
	r := tcg.NewReader(c.Params, nil)
	r.Sized(len(c.Params)) // inSensitive
	t := r.Sized(len(c.Params))
	return tpmcrypto.Digest(alg, t)
}

// parametersHash is the digest over command code and parameters (Part 3,
// TPM2_PolicyParameters).
func (c *Call) parametersHash(alg tcg.TPMAlgID) []byte {
	cc := uint32(c.Spec.Code)
	return tpmcrypto.Digest(alg, []byte{byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)}, c.Params)
}

// cpHash is the digest over command code, names and parameters as sent (Part
// 1, "cpHash").
func (c *Call) cpHash(alg tcg.TPMAlgID) []byte {
	for _, h := range c.cpHashes {
		if h.alg == alg {
			return h.digest
		}
	}
	h := tpmcrypto.MustHash(alg)
	cc := uint32(c.Spec.Code)
	h.Write([]byte{byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)})
	for i := range c.Spec.Handles {
		h.Write(c.Names[i])
	}
	h.Write(c.Sent)
	v := h.Sum(nil)
	c.cpHashes = append(c.cpHashes, hashValue{alg, v})
	return v
}

// nameHash is the digest over the names of the handles (Part 3,
// TPM2_PolicyNameHash).
func (c *Call) nameHash(alg tcg.TPMAlgID) []byte {
	h := tpmcrypto.MustHash(alg)
	for i := range c.Spec.Handles {
		h.Write(c.Names[i])
	}
	return h.Sum(nil)
}

// rpHash is the digest over response code, command code and response
// parameters (Part 1, "rpHash").
func (c *Call) rpHash(alg tcg.TPMAlgID) []byte {
	h := tpmcrypto.MustHash(alg)
	cc := uint32(c.Spec.Code)
	h.Write([]byte{0, 0, 0, 0, byte(cc >> 24), byte(cc >> 16), byte(cc >> 8), byte(cc)})
	h.Write(c.Out.B)
	return h.Sum(nil)
}

// hmacKey is the session key, with the authorized entity's value appended
// where the session's rules ask for it.
func hmacKey(d *engine.Device, a *authorization) []byte {
	key := append([]byte(nil), a.s.Key...)
	if a.IncludeAuth {
		key = append(key, d.EntityAuth(a.handle)...)
	}
	return key
}

// commandHMAC is the HMAC that session i of the command has to carry (Part 1,
// "HMAC Computation").
func commandHMAC(d *engine.Device, c *Call, i int) []byte {
	a := &c.Sessions[i]
	key := hmacKey(d, a)
	if len(key) == 0 && len(a.value) == 0 {
		return nil // an empty HMAC is allowed where there is no secret at all
	}
	var nonceDecrypt, nonceEncrypt []byte
	if i == 0 && a.forHandle {
		// The first session, if it authorizes, vouches for the sessions that
		// encrypt, so that they cannot be exchanged on the way.
		dec, enc := c.decryptSession(), c.encryptSession()
		if dec != nil && dec != a {
			nonceDecrypt = dec.s.NonceTPM
		}
		if enc != nil && enc != a && enc != dec {
			nonceEncrypt = enc.s.NonceTPM
		}
	}
	return tpmcrypto.MAC(a.s.Hash, key, c.cpHash(a.s.Hash), a.nonceCaller, a.s.NonceTPM,
		nonceDecrypt, nonceEncrypt, []byte{byte(a.attrs)})
}
