package command

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// hash is TPM2_Hash, which returns the digest of data that fits one command. A
// hierarchy that is disabled has tickets, too: whoever takes one checks that it
// is enabled.
//
//	TPM_RC_VALUE  there is no such hierarchy
func hash(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	alg := r.Next().HashAlg()
	root := r.Next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.End(); err != nil {
		return err
	}
	if rc := d.CheckHierarchy(root); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	v := tpmcrypto.Digest(alg, data)
	c.Out.Sized(v)
	writeHashTicket(d, c, root, alg, v, !object.LooksGenerated(data))
	return nil
}

// writeHashTicket writes a TPMT_TK_HASHCHECK: that a digest is of data which
// is no structure of the TPM's own; empty if that is not known.
func writeHashTicket(d *engine.Device, c *dispatch.Call, h tcg.TPMHandle, alg tcg.TPMAlgID, v []byte, safe bool) {
	t := tcg.NullTicket(tcg.TPMSTHashCheck)
	if safe && h != tcg.TPMRHNull {
		t.Hierarchy = h
		t.Digest = hashTicket(d, h, alg, v)
	}
	t.Marshal(&c.Out)
}

func hashTicket(d *engine.Device, h tcg.TPMHandle, alg tcg.TPMAlgID, v []byte) []byte {
	return d.TicketHMAC(h, tcg.TPMSTHashCheck, binary.BigEndian.AppendUint16(nil, uint16(alg)), v)
}

// newMAC returns the running MAC of a key, and how it is made.
//
//	TPM_RC_ATTRIBUTES  the key is restricted
//	TPM_RC_KEY         the key is not for signing
//	TPM_RC_TYPE        the key is neither an HMAC nor a symmetric key
//	TPM_RC_VALUE       the scheme is not the key's, or neither names one
func newMAC(o *object.Object, scheme tcg.TPMAlgID) (*object.Sequence, tcg.TPMRC) {
	if o.Seq != nil {
		return nil, tcg.TPMRCType.H(1)
	}
	s := &object.Sequence{MAC: true}
	var err error
	switch o.Public.Type {
	case tcg.TPMAlgKeyedHash:
		if rc := checkMACKey(o); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		ks := o.Public.KeyedHash.Scheme
		if s.Alg = scheme; ks.Scheme == tcg.TPMAlgHMAC {
			if scheme != tcg.TPMAlgNull && scheme != ks.HashAlg {
				return nil, tcg.TPMRCValue.P(2)
			}
			s.Alg = ks.HashAlg
		}
		if tpmcrypto.DigestSize(s.Alg) == 0 {
			return nil, tcg.TPMRCValue.P(2)
		}
		s.Hash, err = tpmcrypto.NewHMAC(s.Alg, o.Sensitive.Sensitive)
	case tcg.TPMAlgSymCipher:
		if rc := checkMACKey(o); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if s.Alg = scheme; s.Alg == tcg.TPMAlgNull {
			s.Alg = o.Public.Sym.Mode
		}
		if s.Alg != tcg.TPMAlgCMAC || o.Public.Sym.Mode != tcg.TPMAlgNull && o.Public.Sym.Mode != tcg.TPMAlgCMAC {
			return nil, tcg.TPMRCValue.P(2)
		}
		s.Cmac, s.Key = o.Public.Sym.Algorithm, bytes.Clone(o.Sensitive.Sensitive)
		s.Hash, err = tpmcrypto.NewCMAC(s.Cmac, s.Key)
	default:
		return nil, tcg.TPMRCType.H(1)
	}
	return s, tpmcrypto.ResponseCode(err)
}

func checkMACKey(o *object.Object) tcg.TPMRC {
	switch {
	case o.Has(tcg.TPMAObjectRestricted):
		return tcg.TPMRCAttributes.H(1)
	case !o.Has(tcg.TPMAObjectSignEncrypt):
		return tcg.TPMRCKey.H(1)
	}
	return tcg.TPMRCSuccess
}

// mac is TPM2_MAC, and with an HMAC key TPM2_HMAC, which returns the MAC of
// data that fits one command. Response codes are those of newMAC.
func mac(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	scheme := r.Next().MACSchemePlus()
	if err := r.End(); err != nil {
		return err
	}
	s, rc := newMAC(d.Object(c.Handles[0]), scheme)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.Write(data)
	c.Out.Sized(s.Hash.Sum(nil))
	return nil
}
