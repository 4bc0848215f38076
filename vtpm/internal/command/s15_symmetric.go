package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// encryptDecrypt is TPM2_EncryptDecrypt, which encrypts or decrypts data with a
// symmetric key. Response codes are those of cryptData.
func encryptDecrypt(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	decrypt := r.Next().YesNo()
	mode := r.Next().CipherModePlus()
	iv := r.Next().IV()
	data := r.Next().MaxBuffer()
	if err := r.End(); err != nil {
		return err
	}
	return cryptData(d, c, data, decrypt, mode, iv, [4]int{1, 2, 3, 4})
}

// encryptDecrypt2 is TPM2_EncryptDecrypt2, which does the same with inData
// first, so that it can be encrypted by a session. Response codes are those of
// cryptData.
func encryptDecrypt2(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	decrypt := r.Next().YesNo()
	mode := r.Next().CipherModePlus()
	iv := r.Next().IV()
	if err := r.End(); err != nil {
		return err
	}
	return cryptData(d, c, data, decrypt, mode, iv, [4]int{2, 3, 4, 1})
}

// cryptData encrypts or decrypts with a symmetric key. at has the numbers of
// the parameters decrypt, mode, ivIn and inData.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or not for this direction
//	TPM_RC_KEY         not a symmetric key
//	TPM_RC_MODE        not the key's mode, or none at all
//	TPM_RC_SIZE        ivIn or inData is not of a size that the mode allows
func cryptData(d *engine.Device, c *dispatch.Call, data []byte, decrypt bool, mode tcg.TPMAlgID, iv []byte, at [4]int) error {
	o := d.Object(c.Handles[0])
	if o.Public.Type != tcg.TPMAlgSymCipher {
		return tcg.TPMRCKey.H(1)
	}
	need := tcg.TPMAObjectSignEncrypt
	if decrypt {
		need = tcg.TPMAObjectDecrypt
	}
	if o.Has(tcg.TPMAObjectRestricted) || !o.Has(need) {
		return tcg.TPMRCAttributes.H(1)
	}
	if key := o.Public.Sym.Mode; key == tcg.TPMAlgNull {
		if mode == tcg.TPMAlgNull {
			return tcg.TPMRCMode.P(at[1])
		}
	} else if mode != tcg.TPMAlgNull && mode != key {
		return tcg.TPMRCMode.P(at[1])
	} else {
		mode = key
	}
	d.Need(o.Public.Sym.Algorithm, mode)
	b, err := tpmcrypto.NewCipher(o.Public.Sym.Algorithm, o.Sensitive.Sensitive)
	if err != nil {
		return tpmcrypto.ResponseCode(err)
	}
	ivSize := b.BlockSize()
	if mode == tcg.TPMAlgECB {
		ivSize = 0
	}
	if len(iv) != ivSize {
		return tcg.TPMRCSize.P(at[2])
	}
	if (mode == tcg.TPMAlgCBC || mode == tcg.TPMAlgECB) && len(data)%b.BlockSize() != 0 {
		return tcg.TPMRCSize.P(at[3])
	}
	next, out := bytes.Clone(iv), make([]byte, len(data))
	if err := tpmcrypto.Crypt(b, mode, next, out, data, !decrypt); err != nil {
		return tpmcrypto.ResponseCode(err).P(at[1])
	}
	c.Out.Sized(out)
	c.Out.Sized(next)
	return nil
}
