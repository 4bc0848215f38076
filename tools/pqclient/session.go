package main

import (
	"crypto/hmac"
	"errors"
)

// A session is an HMAC session that encrypts with AES-128 in CFB mode (Part 1,
// "Session-Based Authorizations" and "Session-Based Encryption").
type session struct {
	handle              int
	key                 []byte
	nonceTPM, nonceMine []byte
}

// Attributes of sessions.
const (
	continues  = 0x01
	decryptsIn = 0x20
	encryptsIn = 0x40
)

// salted starts a session whose salt only the holder of an ML-KEM-768 key finds.
func (t *tpm) salted(key *object) (*session, error) {
	salt, ciphertext, err := labelled(key.unique, "SECRET")
	if err != nil {
		return nil, err
	}
	s := &session{nonceMine: random(16)}
	r, err := t.run(command{cc: ccStartAuthSession, handles: []int{key.handle, rhNull}, handle: &s.handle,
		params: cat(sized(s.nonceMine), sized(ciphertext), []byte{0}, u16(algAES), u16(128), u16(algCFB), u16(algSHA256))})
	if err != nil {
		return nil, err
	}
	s.nonceTPM = r.sized()
	s.key = kdfa(salt, "ATH", s.nonceTPM, s.nonceMine, 256)
	return s, r.end()
}

// crypt encrypts or decrypts the content of a first parameter.
func (s *session) crypt(newer, older, params []byte, encrypt bool) []byte {
	n := int(params[0])<<8 | int(params[1])
	k := kdfa(s.key, "CFB", newer, older, 256)
	return cat(params[:2], cfb(k[:16], k[16:], params[2:2+n], encrypt), params[2+n:])
}

func (c *command) attributes() byte {
	a := byte(continues)
	if c.encrypt {
		if len(c.params) != 0 {
			a |= decryptsIn
		}
		if c.cc == ccUnseal || c.cc == ccDecapsulate || c.cc == ccActivateCredential {
			a |= encryptsIn
		}
	}
	return a
}

// authorize returns the parameters as they are sent, and the authorization area, for
// entities whose authorization values are empty.
func (s *session) authorize(c *command) (params, area []byte) {
	s.nonceMine = random(16)
	a := c.attributes()
	params = c.params
	if a&decryptsIn != 0 {
		params = s.crypt(s.nonceMine, s.nonceTPM, params, true)
	}
	cpHash := hash(u32(c.cc), cat(c.names...), params)
	for i := range c.auths {
		if i > 0 {
			area = append(area, cat(u32(rsPW), u16(0), []byte{0}, u16(0))...)
			continue
		}
		area = cat(u32(s.handle), sized(s.nonceMine), []byte{a}, sized(mac(s.key, cpHash, s.nonceMine, s.nonceTPM, []byte{a})))
	}
	return params, area
}

// check verifies the response's HMAC and returns its parameters, decrypted.
func (s *session) check(c *command, params []byte, f *fields) ([]byte, error) {
	nonce := f.sized()
	a := f.take(1)
	sum := f.sized()
	if f.err != nil {
		return nil, f.err
	}
	s.nonceTPM = nonce
	rpHash := hash(u32(0), u32(c.cc), params)
	if !hmac.Equal(sum, mac(s.key, rpHash, s.nonceTPM, s.nonceMine, a)) {
		return nil, errors.New("the response has another HMAC")
	}
	if c.attributes()&encryptsIn != 0 {
		params = s.crypt(s.nonceTPM, s.nonceMine, params, false)
	}
	return params, nil
}
