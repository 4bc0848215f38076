package command_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// chained encrypts whole blocks as Part 3, Table 64 says. It returns the text and
// the chaining value for more of it.
func chained(b cipher.Block, mode tcg.TPMAlgID, iv, data []byte) (text, next []byte) {
	next = bytes.Clone(iv)
	k, out := make([]byte, 16), make([]byte, 16)
	for ; len(data) > 0; data = data[16:] {
		switch mode {
		case tcg.TPMAlgCTR:
			b.Encrypt(k, next)
			subtle.XORBytes(out, data, k)
			for i := 15; i >= 0; i-- {
				if next[i]++; next[i] != 0 {
					break
				}
			}
		case tcg.TPMAlgOFB:
			b.Encrypt(next, next)
			subtle.XORBytes(out, data, next)
		case tcg.TPMAlgCFB:
			b.Encrypt(k, next)
			subtle.XORBytes(out, data, k)
			copy(next, out)
		case tcg.TPMAlgCBC:
			subtle.XORBytes(k, data, next)
			b.Encrypt(out, k)
			copy(next, out)
		case tcg.TPMAlgECB:
			b.Encrypt(out, data)
		}
		text = append(text, out...)
	}
	return text, next
}

// given is a template of which the caller gives the key.
func given(p tcg.TPMTPublic) tcg.TPMTPublic {
	p.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
	return p
}

var cryptCommands = []tcg.TPMCC{tcg.TPMCCEncryptDecrypt, tcg.TPMCCEncryptDecrypt2}

// crypt are the parameters of a command that encrypts or decrypts, in its order.
func crypt(cc tcg.TPMCC, decrypt bool, mode tcg.TPMAlgID, iv, data []byte) []any {
	if cc == tcg.TPMCCEncryptDecrypt2 {
		return []any{data, decrypt, mode, iv}
	}
	return []any{decrypt, mode, iv, data}
}

// TestEncryptDecrypt: each mode encrypts as it should, in one piece and in two of
// which the second goes on with the first one's ivOut, and decrypts what it
// encrypted (Part 3, 15.1 to 15.3).
func TestEncryptDecrypt(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	secret := bytes.Repeat([]byte{7}, 16)
	key := tpm.Primary(owner, given(tpmtest.AES(sign|decrypt)), tcg.TPMSSensitiveCreate{Data: secret})
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("sixteen bytes, and then another sixteen bytes. Another sixteen.")
	message = append(message, make([]byte, 64-len(message))...)
	for _, mode := range []tcg.TPMAlgID{tcg.TPMAlgCTR, tcg.TPMAlgOFB, tcg.TPMAlgCBC, tcg.TPMAlgCFB, tcg.TPMAlgECB} {
		iv := bytes.Repeat([]byte{0xFF}, 16) // a counter that runs over
		if mode == tcg.TPMAlgECB {
			iv = nil
		}
		text, next := chained(block, mode, iv, message)
		for _, cc := range cryptCommands {
			run := func(decrypt bool, iv, data []byte) (out, next []byte) {
				r := tpm.Do(cc, handles{key.Handle}, nil, crypt(cc, decrypt, mode, iv, data)...)
				return take(r), take(r)
			}
			for decrypt, c := range map[bool]struct{ in, out []byte }{false: {message, text}, true: {text, message}} {
				out, last := run(decrypt, iv, c.in)
				if !bytes.Equal(out, c.out) || !bytes.Equal(last, next) {
					t.Errorf("%v, %v, decrypt %v: %x and ivOut %x, not %x and %x", cc, mode, decrypt, out, last, c.out, next)
				}
				a, middle := run(decrypt, iv, c.in[:32])
				b, last := run(decrypt, middle, c.in[32:])
				if !bytes.Equal(append(a, b...), c.out) || !bytes.Equal(last, next) {
					t.Errorf("%v, %v, decrypt %v, in two pieces: %x%x, not %x", cc, mode, decrypt, a, b, c.out)
				}
			}
		}
	}
}

func TestEncryptDecryptCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	cryptRows(codesOf(t, tpm, tcg.TPMCCEncryptDecrypt), 2, 3, 4)
}

func TestEncryptDecrypt2Codes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	cryptRows(codesOf(t, tpm, tcg.TPMCCEncryptDecrypt2), 3, 4, 1)
}

// cryptRows are the rows of both commands. The numbers are those of the
// parameters.
func cryptRows(c *codes, mode, ivIn, inData int) {
	const cfb, none = tcg.TPMAlgCFB, tcg.TPMAlgNull
	c.t.Helper()
	iv, data := make([]byte, 16), make([]byte, 16)
	primary := func(p tcg.TPMTPublic) tcg.TPMHandle { return c.tpm.Primary(owner, p, tcg.TPMSSensitiveCreate{}).Handle }
	row := func(rc tcg.TPMRC, why string, h tcg.TPMHandle, decrypt bool, mode tcg.TPMAlgID, iv, data []byte) {
		c.t.Helper()
		c.row(rc, why, handles{h}, crypt(c.cc, decrypt, mode, iv, data)...)
	}
	key, modal := primary(tpmtest.AES(sign|decrypt)), tpmtest.AES(sign|decrypt)
	modal.Sym.Mode = cfb
	own := primary(modal)
	row(tcg.TPMRCKey.H(1), "an HMAC key", primary(tpmtest.HMAC(0)), false, cfb, iv, data)
	row(tcg.TPMRCKey.H(1), "a sequence", sequence(c.tpm), false, cfb, iv, data)
	row(tcg.TPMRCAttributes.H(1), "the key is restricted", primary(tpmtest.AES(tpmtest.Parent)), true, cfb, iv, data)
	row(tcg.TPMRCAttributes.H(1), "the key does not encrypt", primary(tpmtest.AES(decrypt)), false, cfb, iv, data)
	row(tcg.TPMRCAttributes.H(1), "the key does not decrypt", primary(tpmtest.AES(sign)), true, cfb, iv, data)
	row(tcg.TPMRCMode.P(mode), "neither the key nor the caller has a mode", key, false, none, iv, data)
	row(tcg.TPMRCMode.P(mode), "another mode than the key's", own, false, tcg.TPMAlgCTR, iv, data)
	row(tcg.TPMRCMode.P(mode), "a mode that does not encrypt", key, false, tcg.TPMAlgCMAC, iv, data)
	row(tcg.TPMRCMode.P(mode), "an invalid mode", key, false, tcg.TPMAlgSHA256, iv, data)
	for _, m := range []tcg.TPMAlgID{tcg.TPMAlgCTR, tcg.TPMAlgOFB, tcg.TPMAlgCBC, cfb} {
		row(tcg.TPMRCSize.P(ivIn), "an IV that is short", key, false, m, iv[:15], data)
		row(tcg.TPMRCSize.P(ivIn), "no IV", key, false, m, nil, data)
	}
	row(tcg.TPMRCSize.P(ivIn), "an IV for ECB", key, false, tcg.TPMAlgECB, iv, data)
	row(tcg.TPMRCSize.P(ivIn), "an IV longer than any block", key, false, cfb, make([]byte, 17), data)
	row(tcg.TPMRCSize.P(inData), "a part of a block in CBC", key, false, tcg.TPMAlgCBC, iv, data[:15])
	row(tcg.TPMRCSize.P(inData), "a part of a block in ECB", key, true, tcg.TPMAlgECB, nil, data[:15])
	row(tcg.TPMRCSize.P(inData), "data beyond a buffer", key, false, cfb, iv, make([]byte, 1025))
	row(tcg.TPMRCSuccess, "a part of a block in CFB", key, false, cfb, iv, data[:15])
	row(tcg.TPMRCSuccess, "the key's own mode", own, false, none, iv, data)
	row(tcg.TPMRCSuccess, "the key's own mode, named", own, true, cfb, iv, data)
}
