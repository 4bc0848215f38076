package eventlog

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Hash returns the digests of b by each of the algorithms.
// Precondition: package tpmcrypto has each of them, as New makes sure.
func Hash(algs []tcg.TPMAlgID, b []byte) []Digest {
	var digests []Digest
	for _, a := range algs {
		digests = append(digests, Digest{a, sum(a, b)})
	}
	return digests
}

func sum(alg tcg.TPMAlgID, parts ...[]byte) []byte {
	h := tpmcrypto.MustHash(alg)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Zero returns digests of zeros, which an event of type EVNoAction has.
func Zero(algs []tcg.TPMAlgID) []Digest {
	var digests []Digest
	for _, a := range algs {
		digests = append(digests, Digest{a, make([]byte, a.DigestSize())})
	}
	return digests
}

// startupLocality begins the data of the event with which a log states the
// locality of TPM2_Startup or of the H-CRTM, a byte that follows (PFP,
// 10.4.5.3, "Startup Locality Event").
const startupLocality = "StartupLocality\x00"

// StartupLocality returns the event that states from which locality the TPM was
// started: 0 or 3 for TPM2_Startup, 4 for an H-CRTM. It must be the log's first
// event if the locality is not 0: PCR 0 then starts with the locality in its last
// byte.
func StartupLocality(algs []tcg.TPMAlgID, locality uint8) Event {
	return Event{Type: EVNoAction, Digests: Zero(algs), Data: append([]byte(startupLocality), locality)}
}

// Separator returns the event that ends what firmware measures into a PCR (PFP,
// EV_SEPARATOR): four bytes of zero, hashed.
func Separator(algs []tcg.TPMAlgID, pcr uint32) Event {
	return Event{PCR: pcr, Type: EVSeparator, Digests: Hash(algs, make([]byte, 4)), Data: make([]byte, 4)}
}
