package tpmtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"stubtpm/vtpm/tcg"
)

// An exchange is one command on its way, and back.
type exchange struct {
	spec    *tcg.CommandSpec
	handles Handles
	names   [][]byte // of the handles, if a session needs them
	auths   Auths
	params  []byte
}

func needsNames(a Auth) bool { _, ok := a.(*Session); return ok }

// tag is that of the command, and of a response that is no error.
func (x *exchange) tag() tcg.TPMST {
	if len(x.auths) != 0 {
		return tcg.TPMSTSessions
	}
	return tcg.TPMSTNoSessions
}

// command returns the bytes of the command.
func (x *exchange) command() []byte {
	var w tcg.Writer
	w.Uint16(uint16(x.tag()))
	w.Uint32(0)
	w.Uint32(uint32(x.spec.Code))
	for _, h := range x.handles {
		w.Uint32(uint32(h))
	}
	for _, a := range x.auths {
		a.begin()
	}
	sent := x.encrypted()
	if len(x.auths) != 0 {
		var area tcg.Writer
		for i, a := range x.auths {
			c := a.authorize(x, i, sent)
			c.Marshal(&area)
		}
		w.Uint32(uint32(len(area.B)))
		w.Bytes(area.B)
	}
	w.Bytes(sent)
	n := len(w.B)
	w.B[2], w.B[3], w.B[4], w.B[5] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return w.B
}

// with returns the session that has an attribute, and its place.
func (x *exchange) with(attribute tcg.TPMASession) (*Session, int) {
	for i, a := range x.auths {
		if s, ok := a.(*Session); ok && s.Attributes&attribute != 0 {
			return s, i
		}
	}
	return nil, 0
}

// encrypted returns the parameters, the first one encrypted if a session says so
// and it has a size.
func (x *exchange) encrypted() []byte {
	sent := bytes.Clone(x.params)
	if s, i := x.with(tcg.TPMASessionDecrypt); s != nil && s.Symmetric.Algorithm != tcg.TPMAlgNull {
		if p := firstOf(sent); x.spec.DecryptSize() != 0 && p != nil {
			s.crypt(p, i < x.spec.AuthCount(), s.nonceCaller, s.NonceTPM, false)
		}
	}
	return sent
}

// firstOf returns the content of the TPM2B that params begin with.
func firstOf(params []byte) []byte {
	r := tcg.NewReader(params, nil)
	return r.Sized(len(params))
}

// otherNonces are the nonces of the sessions that encrypt, which the first
// session vouches for if it is another.
func (x *exchange) otherNonces(first *Session) (nonces [][]byte) {
	in, _ := x.with(tcg.TPMASessionDecrypt)
	out, _ := x.with(tcg.TPMASessionEncrypt)
	if in != nil && in != first {
		nonces = append(nonces, in.NonceTPM)
	}
	if out != nil && out != first && out != in {
		nonces = append(nonces, out.NonceTPM)
	}
	return nonces
}

// response takes a response apart. An error is one that no TPM may make.
func (x *exchange) response(b []byte) (*Response, error) {
	r := tcg.NewReader(b, nil)
	tag := tcg.TPMST(r.Uint16())
	size := r.Uint32()
	resp := &Response{Code: tcg.TPMRC(r.Uint32())}
	if r.Err() != tcg.TPMRCSuccess || int(size) != len(b) {
		return nil, fmt.Errorf("response of %d bytes says %d", len(b), size)
	}
	if resp.Code == tcg.TPMRCSuccess && tag != x.tag() {
		return nil, fmt.Errorf("response of tag %#x", uint16(tag))
	}
	if resp.Code != tcg.TPMRCSuccess {
		if r.Len() != 0 {
			return nil, fmt.Errorf("%d bytes after an error", r.Len())
		}
		return resp, nil
	}
	if x.spec.ResponseHandle != nil {
		resp.Handle = tcg.TPMHandle(r.Uint32())
	}
	if tag != tcg.TPMSTSessions {
		resp.Params = r.Rest()
	} else {
		resp.Params = r.Bytes(int(r.Uint32()))
		if err := x.answers(&r, resp.Params); err != nil {
			return nil, err
		}
	}
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
		return nil, fmt.Errorf("malformed response %x", b)
	}
	resp.Reader = tcg.NewReader(resp.Params, nil)
	return resp, nil
}

// answers checks the sessions of a response and decrypts its first parameter.
func (x *exchange) answers(r *tcg.Reader, params []byte) error {
	encrypts, place := x.with(tcg.TPMASessionEncrypt)
	for i, a := range x.auths {
		var answer tcg.TPMSAuthResponse
		answer.Unmarshal(r)
		if s, ok := a.(*Session); ok && !s.answer(x, i, params, answer) {
			return fmt.Errorf("the response's HMAC of session %d is wrong", i+1)
		}
	}
	if s := encrypts; s != nil && x.spec.EncryptSize() != 0 && r.Err() == tcg.TPMRCSuccess {
		s.crypt(firstOf(params), place < x.spec.AuthCount(), s.NonceTPM, s.nonceCaller, true)
	}
	return nil
}

// cfb en- or decrypts with AES in CFB mode, which the TPM's interface demands.
func cfb(key, iv, data []byte, decrypt bool) {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("tpmtest: " + err.Error())
	}
	stream := cipher.NewCFBEncrypter(block, iv)
	if decrypt {
		stream = cipher.NewCFBDecrypter(block, iv)
	}
	stream.XORKeyStream(data, data)
}
