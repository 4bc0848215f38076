package tcg

// A TPMAlgID names an algorithm.
type TPMAlgID uint16

// Part 2 v1.85, Table 8 (TPM_ALG_ID). A few values of the TCG Algorithm
// Registry that the table leaves out are here for the sake of their names.
const (
	// Object types.
	TPMAlgRSA       TPMAlgID = 0x0001
	TPMAlgKeyedHash TPMAlgID = 0x0008
	TPMAlgECC       TPMAlgID = 0x0023
	TPMAlgSymCipher TPMAlgID = 0x0025
	TPMAlgMLKEM     TPMAlgID = 0x00A0
	TPMAlgMLDSA     TPMAlgID = 0x00A1
	TPMAlgHashMLDSA TPMAlgID = 0x00A2

	// Hash algorithms.
	TPMAlgSHA1      TPMAlgID = 0x0004
	TPMAlgSHA256    TPMAlgID = 0x000B
	TPMAlgSHA384    TPMAlgID = 0x000C
	TPMAlgSHA512    TPMAlgID = 0x000D
	TPMAlgSHA256192 TPMAlgID = 0x000E
	TPMAlgSM3256    TPMAlgID = 0x0012
	TPMAlgSHA3256   TPMAlgID = 0x0027
	TPMAlgSHA3384   TPMAlgID = 0x0028
	TPMAlgSHA3512   TPMAlgID = 0x0029

	// Block ciphers and their modes.
	TPMAlgTDES     TPMAlgID = 0x0003
	TPMAlgAES      TPMAlgID = 0x0006
	TPMAlgSM4      TPMAlgID = 0x0013
	TPMAlgCamellia TPMAlgID = 0x0026
	TPMAlgCTR      TPMAlgID = 0x0040
	TPMAlgOFB      TPMAlgID = 0x0041
	TPMAlgCBC      TPMAlgID = 0x0042
	TPMAlgCFB      TPMAlgID = 0x0043
	TPMAlgECB      TPMAlgID = 0x0044

	// Message authentication codes.
	TPMAlgHMAC TPMAlgID = 0x0005
	TPMAlgCMAC TPMAlgID = 0x003F

	// Key derivation and mask generation.
	TPMAlgMGF1         TPMAlgID = 0x0007
	TPMAlgHKDF         TPMAlgID = 0x001F
	TPMAlgKDF1SP80056A TPMAlgID = 0x0020
	TPMAlgKDF2         TPMAlgID = 0x0021
	TPMAlgKDF1SP800108 TPMAlgID = 0x0022

	// Schemes.
	TPMAlgRSASSA    TPMAlgID = 0x0014
	TPMAlgRSAES     TPMAlgID = 0x0015
	TPMAlgRSAPSS    TPMAlgID = 0x0016
	TPMAlgOAEP      TPMAlgID = 0x0017
	TPMAlgECDSA     TPMAlgID = 0x0018
	TPMAlgECDH      TPMAlgID = 0x0019
	TPMAlgECDAA     TPMAlgID = 0x001A
	TPMAlgSM2       TPMAlgID = 0x001B
	TPMAlgECSchnorr TPMAlgID = 0x001C
	TPMAlgECMQV     TPMAlgID = 0x001D
	TPMAlgEDDSA     TPMAlgID = 0x0060
	TPMAlgEDDSAPH   TPMAlgID = 0x0061 // TPM_ALG_HASH_EDDSA

	// Miscellaneous.
	TPMAlgXOR  TPMAlgID = 0x000A
	TPMAlgNull TPMAlgID = 0x0010
)

// TPMAlgError is TPM_ALG_ERROR, which no algorithm has.
const TPMAlgError TPMAlgID = 0

// DigestSize is the size of a hash algorithm's digest in bytes, and 0 for what
// is no hash algorithm.
func (a TPMAlgID) DigestSize() int {
	switch a {
	case TPMAlgSHA1:
		return 20
	case TPMAlgSHA256, TPMAlgSM3256, TPMAlgSHA3256:
		return 32
	case TPMAlgSHA384, TPMAlgSHA3384:
		return 48
	case TPMAlgSHA512, TPMAlgSHA3512:
		return 64
	}
	return 0
}

// BlockSize is the size of a block cipher's block in bytes, and 0 for what is
// no block cipher.
func (a TPMAlgID) BlockSize() int {
	switch a {
	case TPMAlgAES, TPMAlgCamellia, TPMAlgSM4:
		return 16
	case TPMAlgTDES:
		return 8
	}
	return 0
}

// A TPMECCCurve names an elliptic curve.
type TPMECCCurve uint16

// Part 2 v1.85, Table 9 (TPM_ECC_CURVE).
const (
	TPMECCNone            TPMECCCurve = 0x0000
	TPMECCNistP192        TPMECCCurve = 0x0001
	TPMECCNistP224        TPMECCCurve = 0x0002
	TPMECCNistP256        TPMECCCurve = 0x0003
	TPMECCNistP384        TPMECCCurve = 0x0004
	TPMECCNistP521        TPMECCCurve = 0x0005
	TPMECCBNP256          TPMECCCurve = 0x0010
	TPMECCBNP638          TPMECCCurve = 0x0011
	TPMECCSM2P256         TPMECCCurve = 0x0020
	TPMECCBrainpoolP256R1 TPMECCCurve = 0x0030
	TPMECCBrainpoolP384R1 TPMECCCurve = 0x0031
	TPMECCBrainpoolP512R1 TPMECCCurve = 0x0032
	TPMECCCurve25519      TPMECCCurve = 0x0040
	TPMECCCurve448        TPMECCCurve = 0x0041
)
