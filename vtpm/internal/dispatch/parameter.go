package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// cryptParameter encrypts or decrypts b, the first parameter, in place (Part
// 1, "Session-Based Encryption").
func cryptParameter(s *session.Session, key, nonceNewer, nonceOlder, b []byte, encrypt bool) {
	defer tpmcrypto.Zero(key)
	if s.Symmetric.Algorithm == tcg.TPMAlgXOR {
		tpmcrypto.Must(tpmcrypto.XOR(s.Hash, key, nonceNewer, nonceOlder, b))
		return
	}
	bits := int(s.Symmetric.KeyBits)
	iv := tpmcrypto.IVSize(s.Symmetric.Algorithm)
	k := tpmcrypto.KDFa(s.Hash, key, "CFB", nonceNewer, nonceOlder, bits+8*iv)
	defer tpmcrypto.Zero(k)
	tpmcrypto.MustCFB(s.Symmetric.Algorithm, k[:bits/8], k[bits/8:], b, encrypt)
}

// parameterKey derives the key that encrypts the first parameter.
func parameterKey(d *engine.Device, a *authorization) []byte {
	key := append([]byte(nil), a.s.Key...)
	if a.forHandle {
		key = append(key, d.EntityAuth(a.handle)...)
	}
	return key
}

// decryptParameter decrypts the first parameter where a session asks for it
// (Part 3, 5.7).
func decryptParameter(d *engine.Device, c *Call) error {
	a := c.decryptSession()
	if a == nil {
		return nil
	}
	if len(c.Params) < 2 {
		return tcg.TPMRCInsufficient.P(1)
	}
	n := int(c.Params[0])<<8 | int(c.Params[1])
	if n > len(c.Params)-2 {
		return tcg.TPMRCInsufficient.P(1)
	}
	c.Params = append([]byte(nil), c.Params...) // the command's bytes stay as they came
	cryptParameter(a.s, parameterKey(d, a), a.nonceCaller, a.s.NonceTPM, c.Params[2:2+n], false)
	return nil
}

// encryptParameter encrypts the first response parameter in place where a session
// asks for it. It needs the nonces of the response.
func encryptParameter(d *engine.Device, c *Call) {
	if a := c.encryptSession(); a != nil && len(c.Out.B) >= 2 {
		n := int(c.Out.B[0])<<8 | int(c.Out.B[1])
		cryptParameter(a.s, parameterKey(d, a), a.s.NonceTPM, a.nonceCaller, c.Out.B[2:2+n], true)
	}
}
