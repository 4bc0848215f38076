package stream

//lint:file-ignore SA1019 TPMs encrypt parameters with CFB (Part 1, 19.3), a mode that only the deprecated functions have.

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"

	"stubtpm/vtpm/tcg"
)

// A session is an HMAC or policy session on both sides.
type session struct {
	entity
	kind       byte // TPM_SE
	hash       tcg.TPMAlgID
	sym        []byte // TPMT_SYM_DEF
	key        bytesPair
	nonceTPM   bytesPair
	nonce      []byte // nonceCaller
	bound      *entity
	boundAuth  []byte
	authValue  bool // TPM2_PolicyAuthValue succeeded
	password   bool // TPM2_PolicyPassword succeeded
	tainted    bool // the policy digest differs between the sides
	undeclared int  // 1 + the recipe that it satisfies, or 0
}

func (s *session) isPolicy() bool { return s.kind != 0 }

func sum(alg tcg.TPMAlgID, b ...[]byte) []byte {
	h := newHash(alg)
	for _, x := range b {
		h.Write(x)
	}
	return h.Sum(nil)
}

func mac(alg tcg.TPMAlgID, key []byte, b ...[]byte) []byte {
	h := hmac.New(func() hash.Hash { return newHash(alg) }, key)
	for _, x := range b {
		h.Write(x)
	}
	return h.Sum(nil)
}

// kdfa is KDFa of Part 1, for whole bytes.
func kdfa(alg tcg.TPMAlgID, key []byte, label string, u, v []byte, bits int) []byte {
	var out []byte
	for i := 1; len(out)*8 < bits; i++ {
		out = append(out, mac(alg, key, u32(i), []byte(label), []byte{0}, u, v, u32(bits))...)
	}
	return out[:bits/8]
}

// hmacKey returns the HMAC key of the session for an authorization of e.
func (s *session) hmacKey(side int, e *entity) []byte {
	key := s.key[side]
	if e == nil || s.isPolicy() && !s.authValue {
		return key
	}
	if !s.isPolicy() && s.bound != nil && s.bound == e && string(trim(s.boundAuth)) == string(trim(e.auth)) {
		return key
	}
	return cat(key, trim(e.auth))
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

func (c *command) encodeAuth(side, i int, a *auth, names, params []byte) []byte {
	if a.session == nil {
		return cat(u32(a.handle), b2(), []byte{a.attrs}, b2(a.password))
	}
	s := a.session
	var proof []byte
	switch {
	case a.raw != nil:
		proof = a.raw
	case s.password && a.entity != nil:
		proof = a.entity.auth
	default:
		key := s.hmacKey(side, a.entity)
		if s.isPolicy() && len(key) == 0 && !s.authValue {
			break // no HMAC is needed
		}
		cp := sum(s.hash, u32(uint32(c.code)), names, params)
		var extra []byte
		if i == 0 {
			// The first HMAC covers the nonces of sessions that encrypt (Part 1).
			for _, want := range []byte{attrDecrypt, attrEncrypt} {
				for j, b := range c.auths {
					if j > 0 && b.session != nil && b.attrs&want != 0 {
						if want == attrEncrypt && b.attrs&attrDecrypt != 0 {
							continue
						}
						extra = append(extra, b.session.nonceTPM[side]...)
					}
				}
			}
		}
		proof = mac(s.hash, key, cp, s.nonce, s.nonceTPM[side], extra, []byte{a.attrs})
	}
	return cat(u32(s.handle[side]), b2(s.nonce), []byte{a.attrs}, b2(proof))
}

// crypt encrypts or decrypts the first parameter in place.
func (s *session) crypt(side int, e *entity, nonce1, nonce2, data []byte, encrypt bool) {
	var value []byte
	if e != nil {
		value = trim(e.auth)
	}
	key := cat(s.key[side], value)
	switch tcg.TPMAlgID(binary.BigEndian.Uint16(s.sym)) {
	case tcg.TPMAlgAES:
		bits := int(binary.BigEndian.Uint16(s.sym[2:]))
		k := kdfa(s.hash, key, "CFB", nonce1, nonce2, bits+128)
		block, err := aes.NewCipher(k[:bits/8])
		if err != nil {
			panic("stream: internal error: " + err.Error())
		}
		if encrypt {
			cipher.NewCFBEncrypter(block, k[bits/8:]).XORKeyStream(data, data)
		} else {
			cipher.NewCFBDecrypter(block, k[bits/8:]).XORKeyStream(data, data)
		}
	case tcg.TPMAlgXOR:
		if len(data) > 0 {
			mask := kdfa(s.hash, key, "XOR", nonce1, nonce2, len(data)*8)
			for i := range data {
				data[i] ^= mask[i]
			}
		}
	}
}

func first2B(params []byte) []byte {
	if len(params) < 2 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(params))
	if n > len(params)-2 {
		return nil
	}
	return params[2 : 2+n]
}

func (c *command) encryptParams(side int, params []byte) []byte {
	for _, a := range c.auths {
		if a.session == nil || a.attrs&attrDecrypt == 0 || len(a.session.sym) == 2 {
			continue
		}
		if spec := tcg.CommandByCode(c.code); spec == nil || spec.DecryptSize() == 0 {
			continue
		}
		params = append([]byte(nil), params...)
		a.session.crypt(side, a.entity, a.session.nonce, a.session.nonceTPM[side], first2B(params), true)
		break
	}
	return params
}

// checkAuths verifies the authorizations of a response, decrypts its first parameter
// and updates the sessions.
func (c *command) checkAuths(side int, r *response) error {
	if len(c.auths) == 0 {
		return nil
	}
	b := r.auths
	rp := r.params
	for i, a := range c.auths {
		nonce, rest, ok := take2B(b)
		if !ok || len(rest) < 1 {
			return fmt.Errorf("response authorization %d is cut short", i+1)
		}
		attrs := rest[0]
		proof, rest, ok := take2B(rest[1:])
		if !ok {
			return fmt.Errorf("response authorization %d is cut short", i+1)
		}
		b = rest
		s := a.session
		if s == nil {
			if len(nonce) != 0 || len(proof) != 0 || attrs != attrContinue|a.attrs {
				return fmt.Errorf("response of a password: nonce %d, attributes %#x, hmac %d bytes", len(nonce), attrs, len(proof))
			}
			continue
		}
		if same := ^byte(attrExclusive | attrReset); attrs&same != a.attrs&same {
			return fmt.Errorf("session attributes %#x, were %#x", attrs, a.attrs)
		}
		s.nonceTPM[side] = nonce
		r.exclusive = append(r.exclusive, attrs&attrExclusive)
		key := s.hmacKey(side, a.entity)
		if s.password && a.entity != nil || s.isPolicy() && len(key) == 0 && !s.authValue {
			if len(proof) != 0 {
				return fmt.Errorf("session %d: an HMAC of %d bytes where none is due", i+1, len(proof))
			}
			continue
		}
		if c.loose {
			continue // the session's key may have changed
		}
		want := mac(s.hash, key, sum(s.hash, u32(0), u32(uint32(c.code)), rp), nonce, s.nonce, []byte{attrs})
		if string(want) != string(proof) {
			return fmt.Errorf("session %d: wrong response HMAC", i+1)
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes after the authorizations", len(b))
	}
	for _, a := range c.auths {
		if a.session != nil && a.attrs&attrEncrypt != 0 && len(a.session.sym) > 2 {
			a.session.crypt(side, a.entity, a.session.nonceTPM[side], a.session.nonce, first2B(r.params), false)
		}
	}
	return nil
}

func take2B(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	return b[2 : 2+n], b[2+n:], true
}
