package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 15 - Symmetric Primitives; TPM2_Hash and TPM2_MAC are with
// the sequences.
var symmetricCommands = commandTable{
	tcg.TPMCCEncryptDecrypt:  (*Device).encryptDecrypt,
	tcg.TPMCCEncryptDecrypt2: (*Device).encryptDecrypt2,
}

// encryptDecrypt is TPM2_EncryptDecrypt. Response codes are those of
// cryptData.
func (d *Device) encryptDecrypt(c *call) error {
	r := c.reader()
	decrypt := r.next().YesNo()
	mode := r.next().CipherModePlus()
	iv := r.next().IV()
	data := r.next().MaxBuffer()
	if err := r.end(); err != nil {
		return err
	}
	return d.cryptData(c, data, decrypt, mode, iv, [4]int{1, 2, 3, 4})
}

// encryptDecrypt2 is TPM2_EncryptDecrypt2: the same with inData first, so that
// it can be encrypted by a session.
func (d *Device) encryptDecrypt2(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	decrypt := r.next().YesNo()
	mode := r.next().CipherModePlus()
	iv := r.next().IV()
	if err := r.end(); err != nil {
		return err
	}
	return d.cryptData(c, data, decrypt, mode, iv, [4]int{2, 3, 4, 1})
}

// cryptData encrypts or decrypts with a symmetric key. at has the numbers of
// the parameters decrypt, mode, ivIn and inData.
//
//	TPM_RC_ATTRIBUTES  the key is restricted, or not for this direction
//	TPM_RC_KEY         not a symmetric key
//	TPM_RC_MODE        not the key's mode, or none at all
//	TPM_RC_SIZE        ivIn or inData is not of a size that the mode allows
func (d *Device) cryptData(c *call, data []byte, decrypt bool, mode tcg.TPMAlgID, iv []byte, at [4]int) error {
	o := d.object(c.handles[0])
	if o.public.Type != tcg.TPMAlgSymCipher {
		return tcg.TPMRCKey.H(1)
	}
	need := tcg.TPMAObjectSignEncrypt
	if decrypt {
		need = tcg.TPMAObjectDecrypt
	}
	if o.has(tcg.TPMAObjectRestricted) || !o.has(need) {
		return tcg.TPMRCAttributes.H(1)
	}
	if key := o.public.Sym.Mode; key == tcg.TPMAlgNull {
		if mode == tcg.TPMAlgNull {
			return tcg.TPMRCMode.P(at[1])
		}
	} else if mode != tcg.TPMAlgNull && mode != key {
		return tcg.TPMRCMode.P(at[1])
	} else {
		mode = key
	}
	d.need(o.public.Sym.Algorithm, mode)
	b, err := tpmcrypto.NewCipher(o.public.Sym.Algorithm, o.sensitive.Sensitive)
	if err != nil {
		return rcOf(err)
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
		return rcOf(err).P(at[1])
	}
	c.out.Sized(out)
	c.out.Sized(next)
	return nil
}
