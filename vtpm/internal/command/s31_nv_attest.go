package command

import (
	"bytes"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// attest is TPM2_NV_Write of AskIndex.
//
//	TPM_RC_ATTRIBUTES                       the key is not an attestation key of this TPM
//	TPM_RC_KEY                              no loaded object has that Name
//	TPM_RC_NV_RATE, TPM_RC_NV_UNAVAILABLE   no answer was given
//	TPM_RC_VALUE                            not a question, or not from offset 0
func attest(d *engine.Device, ask []byte, offset uint16) error {
	if offset != 0 {
		return tcg.TPMRCValue.P(2)
	}
	name, ok := parseAsk(ask)
	if !ok {
		return tcg.TPMRCValue.P(1)
	}
	key, rc := attestationKey(d, name)
	if rc != tcg.TPMRCSuccess {
		return rc.P(1)
	}
	if err := d.Attest(ask, key); err != nil {
		return engine.Unsaved(err)
	}
	return nil
}

// Bytes of a nonce.
const minAskNonce, maxAskNonce = 16, 64

// Kinds of a question, its first byte: see vtpm.Config.
const askEvidence, askCertificate = 1, 2

// parseAsk returns the Name of the attestation key in a question.
func parseAsk(b []byte) (name []byte, ok bool) {
	r := tcg.NewReader(b, nil)
	switch r.Uint8() {
	case askEvidence:
		nonce := int(r.Uint8())
		if r.Bytes(nonce); nonce < minAskNonce || nonce > maxAskNonce {
			return nil, false
		}
	case askCertificate:
	default:
		return nil, false
	}
	name = r.Bytes(int(r.Uint8()))
	if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 || len(name) < 2 {
		return nil, false
	}
	switch alg := tcg.TPMAlgID(name[0])<<8 | tcg.TPMAlgID(name[1]); alg {
	case tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512:
		return name, len(name) == 2+tpmcrypto.DigestSize(alg)
	}
	return nil, false
}

// attestationKey returns the public area of a loaded key with that Name which signs
// nothing but what this TPM says. A public area that TPM2_LoadExternal loaded is not one: it says of
// itself what it likes, and may be another TPM's.
func attestationKey(d *engine.Device, name []byte) (*tcg.TPMTPublic, tcg.TPMRC) {
	found := false
	for _, h := range loadedObjects(d) {
		o := d.ObjectOrNil(h)
		if n, rc := d.EntityName(h); rc != tcg.TPMRCSuccess || !o.HasName() || !bytes.Equal(n, name) {
			continue
		}
		if found = true; attests(o) {
			return &o.Public, tcg.TPMRCSuccess
		}
	}
	if found {
		return nil, tcg.TPMRCAttributes
	}
	return nil, tcg.TPMRCKey
}

// attests reports whether o is an attestation key that was made by this TPM and
// cannot leave it.
func attests(o *object.Object) bool {
	const attributes = tcg.TPMAObjectRestricted | tcg.TPMAObjectSignEncrypt |
		tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent | tcg.TPMAObjectSensitiveDataOrigin
	return !o.PublicOnly && !o.External && o.Has(attributes) && !o.Has(tcg.TPMAObjectX509Sign) && (o.Public.Type == tcg.TPMAlgRSA || o.Public.Type == tcg.TPMAlgECC)
}

// loadedObjects returns the handles of the transient and the persistent objects.
func loadedObjects(d *engine.Device) (hs []tcg.TPMHandle) {
	for i, o := range d.Vol.Objects {
		if o != nil {
			hs = append(hs, 0x80000000+tcg.TPMHandle(i))
		}
	}
	for h := range d.Perm.Objects {
		hs = append(hs, h)
	}
	return hs
}
