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

	// The chain of those who issued these certificates, from EKChain on without a
	// gap.
	EKChain     = engine.EKChain
	EKChainLast = engine.EKChainLast
)

// MaxCertificates is the number of bytes that SetCertificates takes in all.
const MaxCertificates = engine.MaxCertificates

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

// SetCertificates makes the NV indices EKCertRSA2048, EKCertP256, EKCertP384 and
// those from EKChain to EKChainLast what the maker of the TPM provides: the
// certificates given, and no others. The state is saved once, and not at all if
// everything is so already; where that fails nothing is changed. It may be called
// before and after TPM2_Startup.
//
// Everybody may read these indices: the owner, the platform, or with the empty
// authorization value of the index. No command writes, extends, locks, deletes or
// defines them, whoever authorizes it, and TPM2_Clear, TPM2_ChangeEPS and
// TPM2_ChangePPS leave them. An index of this range that a command defined is
// deleted, also one that is not given: so long as one certificate is set, what a guest
// reads there is the maker's. With no certificates those of earlier calls are deleted,
// and then commands may define the indices: an owner may provide certificates of his
// own where the maker has none.
//
// They count as NV memory in use, but there is always room for them. It is an error,
// and changes nothing, if an index is none of these, if the chain has a gap, if data is
// empty or longer than TPM_PT_NV_INDEX_MAX, if all of it is longer than MaxCertificates,
// and in failure mode.
func (d *Device) SetCertificates(certificates map[tcg.TPMHandle][]byte) error {
	return d.d.SetCertificates(certificates)
}

// Certificate returns what SetCertificates set in an NV index: nil for one that it did
// not set, whatever a guest has there.
func (d *Device) Certificate(index tcg.TPMHandle) []byte { return d.d.Certificate(index) }
