package engine

import (
	"fmt"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// defaultBanks is the allocation at manufacture: every PCR in each bank that
// the profile enables.
func (d *Device) defaultBanks() []tcg.TPMSPCRSelection {
	var banks []tcg.TPMSPCRSelection
	for _, alg := range d.Profile.PCRBanks() {
		banks = append(banks, tcg.TPMSPCRSelection{
			Hash:          alg,
			TPMSPCRSelect: tcg.TPMSPCRSelect{Size: 3, PCRSelect: [tcg.PCRSelectMax]byte{0xFF, 0xFF, 0xFF}},
		})
	}
	return banks
}

// checkProfile returns an error for a profile with something that this build
// cannot compute: a TPM is never made, nor started, with less than it reports.
func checkProfile(p *tcg.Profile) error {
	for a := tcg.TPMAlgID(0); a < 256; a++ {
		if !p.HasAlg(a) || a == tcg.TPMAlgNull {
			continue
		}
		if AlgAttributes(a) == 0 || a.IsHash() && !tpmcrypto.HasHash(a) || a == tcg.TPMAlgSM2 && !tpmcrypto.HasSM {
			return fmt.Errorf("profile: algorithm %#04x is not in this build", uint16(a))
		}
		for _, n := range []int{128, 192, 256} {
			if p.SymBits(a, n) && tpmcrypto.CipherBlockSize(a, n) == 0 {
				return fmt.Errorf("profile: cipher %#04x with keys of %d bits is not in this build", uint16(a), n)
			}
		}
	}
	for c := tcg.TPMECCCurve(0); c < 128; c++ {
		if !p.HasCurve(c) {
			continue
		}
		if k := tpmcrypto.CurveByID(c); k == nil || k.Size > tcg.MaxECCKeyBytes {
			return fmt.Errorf("profile: curve %#04x is not in this build", uint16(c))
		}
	}
	return nil
}

// LargestDigest is the size in bytes of the largest digest of the profile's
// hash algorithms (TPM_PT_MAX_DIGEST).
func (d *Device) LargestDigest() uint32 {
	n := 0
	for _, a := range tpmcrypto.Hashes() {
		if d.Profile.HasAlg(a) {
			n = max(n, a.DigestSize())
		}
	}
	return uint32(n)
}

// CopyProfile returns a copy of what the device was made with.
func (d *Device) CopyProfile() tcg.Profile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.Profile
}

// AlgAttributes says what kind of algorithm id is (TCG Algorithm Registry,
// "TPM_ALG_ID"; Part 2, "TPMA_ALGORITHM").
func AlgAttributes(id tcg.TPMAlgID) tcg.TPMAAlgorithm {
	const (
		asym    = tcg.TPMAAlgorithmAsymmetric
		sym     = tcg.TPMAAlgorithmSymmetric
		hash    = tcg.TPMAAlgorithmHash
		object  = tcg.TPMAAlgorithmObject
		sign    = tcg.TPMAAlgorithmSigning
		encrypt = tcg.TPMAAlgorithmEncrypting
		method  = tcg.TPMAAlgorithmMethod
	)
	switch id {
	case tcg.TPMAlgRSA, tcg.TPMAlgECC:
		return asym | object
	case tcg.TPMAlgMLKEM:
		return asym | object | encrypt
	case tcg.TPMAlgMLDSA, tcg.TPMAlgHashMLDSA:
		return asym | object | sign
	case tcg.TPMAlgTDES, tcg.TPMAlgAES, tcg.TPMAlgSM4, tcg.TPMAlgCamellia:
		return sym
	case tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512, tcg.TPMAlgSM3256,
		tcg.TPMAlgSHA3256, tcg.TPMAlgSHA3384, tcg.TPMAlgSHA3512:
		return hash
	case tcg.TPMAlgHMAC:
		return hash | sign
	case tcg.TPMAlgMGF1:
		return hash | method
	case tcg.TPMAlgKeyedHash:
		return hash | object | sign | encrypt
	case tcg.TPMAlgXOR:
		return hash | sym
	case tcg.TPMAlgRSASSA, tcg.TPMAlgRSAPSS, tcg.TPMAlgECDSA, tcg.TPMAlgECDAA, tcg.TPMAlgSM2, tcg.TPMAlgECSchnorr:
		return asym | sign
	case tcg.TPMAlgRSAES, tcg.TPMAlgOAEP:
		return asym | encrypt
	case tcg.TPMAlgECDH, tcg.TPMAlgECMQV:
		return asym | method
	case tcg.TPMAlgHKDF, tcg.TPMAlgKDF1SP80056A, tcg.TPMAlgKDF2, tcg.TPMAlgKDF1SP800108:
		return hash | method
	case tcg.TPMAlgSymCipher:
		return object
	case tcg.TPMAlgCMAC:
		return sym | sign
	case tcg.TPMAlgCTR, tcg.TPMAlgOFB, tcg.TPMAlgCBC, tcg.TPMAlgCFB, tcg.TPMAlgECB:
		return sym | encrypt
	}
	return 0
}
