package command_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// Hierarchies, by short names.
const (
	owner       = tcg.TPMHandle(tcg.TPMRHOwner)
	endorsement = tcg.TPMHandle(tcg.TPMRHEndorsement)
	platform    = tcg.TPMHandle(tcg.TPMRHPlatform)
	null        = tcg.TPMHandle(tcg.TPMRHNull)
	lockout     = tcg.TPMHandle(tcg.TPMRHLockout)
)

// Uses of keys, besides those of tpmtest.
const (
	sign       = tcg.TPMAObjectSignEncrypt
	decrypt    = tcg.TPMAObjectDecrypt
	restricted = tcg.TPMAObjectRestricted
)

var (
	none   = tcg.TPMSSensitiveCreate{} // nothing that the caller gives
	noAlg  = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgNull}
	ecdsa  = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgECDSA, HashAlg: tcg.TPMAlgSHA256}
	rsassa = tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgRSASSA, HashAlg: tcg.TPMAlgSHA256}
)

// storage is the template of a storage key that does not leave the TPM.
func storage() tcg.TPMTPublic { return tpmtest.ECC(tpmtest.Parent | tpmtest.Fixed) }

// data is what a caller gives to be sealed.
func data(s string) tcg.TPMSSensitiveCreate { return tcg.TPMSSensitiveCreate{Data: []byte(s)} }

// take returns the response's next TPM2B.
func take(r *tpmtest.Response) []byte { return bytes.Clone(r.Sized(1 << 15)) }

// external loads an object, or its public area if s is nil.
func external(tpm *tpmtest.TPM, p tcg.TPMTPublic, s *tcg.TPMTSensitive) tcg.TPMHandle {
	var private any
	if s != nil {
		private = *s
	}
	return tpm.Do(tcg.TPMCCLoadExternal, nil, nil, private, p, null).Handle
}

// sequence starts a hash sequence. It is an object that no key command takes.
func sequence(tpm *tpmtest.TPM) tcg.TPMHandle {
	return tpm.Do(tcg.TPMCCHashSequenceStart, nil, nil, nil, tcg.TPMAlgSHA256).Handle
}

// fill loads objects until there is no room for another.
func fill(t *testing.T, tpm *tpmtest.TPM) {
	t.Helper()
	for range 64 {
		if rc := tpm.Run(tcg.TPMCCHashSequenceStart, nil, nil, nil, tcg.TPMAlgSHA256).Code; rc == tcg.TPMRCObjectMemory {
			return
		}
	}
	t.Fatal("there is room for 64 objects")
}

// pcr reads a PCR of the SHA-256 bank.
func pcr(tpm *tpmtest.TPM, n int) string {
	r := tpm.Do(tcg.TPMCCPCRRead, nil, nil, bank(tcg.TPMAlgSHA256, n))
	r.Uint32() // pcrUpdateCounter
	var sel tcg.TPMLPCRSelection
	profile := tpm.Profile()
	in := tcg.NewReader(r.Rest(), &profile)
	sel.Unmarshal(&in)
	if in.Uint32() != 1 {
		return ""
	}
	return hex.EncodeToString(in.Sized(64))
}

// bank is a TPML_PCR_SELECTION of PCRs of one bank.
func bank(alg tcg.TPMAlgID, pcrs ...int) tpmtest.Raw {
	var w tcg.Writer
	w.Uint32(1)
	w.Uint16(uint16(alg))
	s := tcg.SelectPCRs(pcrs...)
	s.Marshal(&w)
	return w.B
}

// hash returns the SHA-256 of all parts.
func hash(parts ...[]byte) []byte {
	h := sha256.Sum256(bytes.Join(parts, nil))
	return h[:]
}
