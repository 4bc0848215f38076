package command

import (
	"encoding/hex"
	"fmt"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// EndorsementCertificates returns the NV indices of the certificates that belong to
// endorsement keys which EndorsementKey derives.
func EndorsementCertificates() []tcg.TPMHandle {
	return []tcg.TPMHandle{engine.EKCertRSA2048, engine.EKCertP256, engine.EKCertP384}
}

// ekTemplate returns the template of the endorsement key whose certificate belongs in
// an NV index (TCG EK Credential Profile for TPM Family 2.0, annex B).
func ekTemplate(certificate tcg.TPMHandle) (t tcg.TPMTPublic, ok bool) {
	const attributes = tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent | tcg.TPMAObjectSensitiveDataOrigin |
		tcg.TPMAObjectAdminWithPolicy | tcg.TPMAObjectRestricted | tcg.TPMAObjectDecrypt
	noScheme := tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgNull}
	aes := func(bits uint16) tcg.TPMTSymDefObject {
		return tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: bits, Mode: tcg.TPMAlgCFB}
	}
	ecc := func(curve tcg.TPMECCCurve, bits uint16) tcg.TPMSECCParms {
		return tcg.TPMSECCParms{Symmetric: aes(bits), Scheme: noScheme, CurveID: curve, KDF: tcg.TPMTKDFScheme{Scheme: tcg.TPMAlgNull}}
	}
	low := tcg.TPMTPublic{NameAlg: tcg.TPMAlgSHA256, ObjectAttributes: attributes, AuthPolicy: ekPolicyA()}
	switch certificate {
	case engine.EKCertRSA2048:
		low.Type = tcg.TPMAlgRSA
		low.RSA = tcg.TPMSRSAParms{Symmetric: aes(128), Scheme: noScheme, KeyBits: 2048}
		low.UniqueRSA = make([]byte, 256)
		return low, true
	case engine.EKCertP256:
		low.Type = tcg.TPMAlgECC
		low.ECC = ecc(tcg.TPMECCNistP256, 128)
		low.UniqueECC = tcg.TPMSECCPoint{X: make([]byte, 32), Y: make([]byte, 32)}
		return low, true
	case engine.EKCertP384: // whose unique field is empty
		return tcg.TPMTPublic{
			Type: tcg.TPMAlgECC, NameAlg: tcg.TPMAlgSHA384,
			ObjectAttributes: attributes | tcg.TPMAObjectUserWithAuth, AuthPolicy: ekPolicyB(),
			ECC: ecc(tcg.TPMECCNistP384, 256),
		}, true
	}
	return t, false
}

// ekPolicyA is TPM2_PolicySecret of the endorsement hierarchy, by SHA-256.
func ekPolicyA() []byte {
	return policy("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
}

// ekPolicyB is TPM2_PolicyOR of that and of the policy in NV index 0x01C07F02, by
// SHA-384.
func ekPolicyB() []byte {
	return policy("b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12")
}

func policy(s string) []byte {
	b, err := hex.DecodeString(s)
	tpmcrypto.Must(err)
	return b
}

// EndorsementKey is vtpm.Device.EndorsementKey.
func EndorsementKey(d *engine.Device, certificate tcg.TPMHandle) ([]byte, error) {
	t, ok := ekTemplate(certificate)
	if !ok {
		return nil, nil
	}
	seed, profile, err := d.EndorsementSeed(t.Type, t.NameAlg)
	if err != nil {
		return nil, err
	}
	defer tpmcrypto.Zero(seed)
	// As TPM2_CreatePrimary reads it: with what the profile has.
	var p creationParams
	r := tcg.NewReader(tcg.Marshal(&t), profile)
	if p.public.Unmarshal(&r); r.Err() != tcg.TPMRCSuccess {
		return nil, nil
	}
	o := &object.Object{Public: p.public.Clone()}
	defer o.Wipe()
	if rc := generateFrom(primarySource(seed, &p), o, nil); rc != tcg.TPMRCSuccess {
		return nil, fmt.Errorf("vtpm: endorsement key of %#08x: %w", uint32(certificate), rc)
	}
	return tcg.Marshal(&o.Public), nil
}
