package vtpm

import (
	"stubtpm/vtpm/internal/command"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// NV indices in which guests look for certificates of endorsement keys (TCG EK
// Credential Profile for TPM Family 2.0, section 2.2.1.4 and 2.2.1.5).
const (
	EKCertRSA2048 = engine.EKCertRSA2048 // RSA 2048, low range
	EKCertP256    = engine.EKCertP256    // ECC NIST P-256, low range
	EKCertP384    = engine.EKCertP384    // ECC NIST P-384, high range (template H-3)
)

// An EndorsementKey is the public part of an endorsement key.
type EndorsementKey struct {
	Certificate tcg.TPMHandle // NV index that its certificate belongs in
	Public      []byte        // TPMT_PUBLIC
}

// EndorsementKeys returns those keys of EndorsementKey that the device's profile has,
// in the order of their indices. It may take seconds, as RSA does.
func (d *Device) EndorsementKeys() ([]EndorsementKey, error) {
	var keys []EndorsementKey
	for _, h := range command.EndorsementCertificates() {
		public, err := d.EndorsementKey(h)
		if err != nil {
			return nil, err
		}
		if public != nil {
			keys = append(keys, EndorsementKey{h, public})
		}
	}
	return keys, nil
}

// EndorsementKey returns the TPMT_PUBLIC of the endorsement key whose certificate
// belongs in an NV index, EKCertRSA2048, EKCertP256 or EKCertP384: what
// TPM2_CreatePrimary makes in the endorsement hierarchy, with the present seed, of
// the template that the TCG EK Credential Profile for TPM Family 2.0 has for that
// index (annex B). It returns nil for another index, and for a key that the profile
// has not.
//
// It may be called before and after TPM2_Startup, whatever a guest has set; it takes
// no place for an object and changes nothing, and no command waits for it. A key of
// ECC takes milliseconds: whether certificates are of the present seed, which
// TPM2_ChangeEPS replaces, is quickly told by it. One of RSA may take seconds. It is
// an error in failure mode.
func (d *Device) EndorsementKey(certificate tcg.TPMHandle) ([]byte, error) {
	return command.EndorsementKey(d.d, certificate)
}
