package tcg

// Parameter sets of ML-KEM and ML-DSA (Part 2 v1.85, Tables 205 and 208).
const (
	TPMMLKEM512  uint16 = 1
	TPMMLKEM768  uint16 = 2
	TPMMLKEM1024 uint16 = 3

	TPMMLDSA44 uint16 = 1
	TPMMLDSA65 uint16 = 2
	TPMMLDSA87 uint16 = 3
)

// Sizes in bytes (FIPS 203, FIPS 204).
const (
	MaxMLKEMPubSize   = 1568
	MaxMLKEMCTSize    = 1568
	MaxMLDSAPubSize   = 2592
	MLKEMPrivateSize  = 64
	MLDSAPrivateSize  = 32
	MLKEMSharedSecret = 32
	MaxSignatureCtx   = 255
)

// MLDSASignatureSize returns the size in bytes of a signature of a parameter set, or 0
// (Part 2, Table 208).
func MLDSASignatureSize(set uint16) int {
	switch set {
	case TPMMLDSA44:
		return 2420
	case TPMMLDSA65:
		return 3309
	case TPMMLDSA87:
		return 4627
	}
	return 0
}

// A TPMSMLDSAParms is the parameters of an ML-DSA or HashML-DSA key (Part 2,
// Tables 230 and 231).
type TPMSMLDSAParms struct {
	ParameterSet    uint16
	AllowExternalMu bool     // of TPM_ALG_MLDSA
	HashAlg         TPMAlgID // of TPM_ALG_HASH_MLDSA
}

// A TPMSMLKEMParms is the parameters of an ML-KEM key (Part 2, Table 232).
type TPMSMLKEMParms struct {
	Symmetric    TPMTSymDefObject
	ParameterSet uint16
}

// parameterSet takes a parameter set of an algorithm that the profile offers,
// else TPM_RC_PARMS.
func (r *Reader) parameterSet(a TPMAlgID) uint16 {
	v := r.Uint16()
	if !r.Profile.MLSet(a, v) {
		r.Fail(TPMRCParms)
	}
	return v
}
