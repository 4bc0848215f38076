//go:build !nosm

package tpmcrypto

import "stubtpm/vtpm/tcg"

// katsSM are the known-answer tests, but for that of SM3, which is with the
// hash algorithms.
func katsSM() []KAT {
	return []KAT{{tcg.TPMAlgSM4, katSM4}, {tcg.TPMAlgSM2, katSM2}}
}

// katSM4 is GB/T 32907-2016, annex A.
func katSM4() error {
	const key = "0123456789abcdeffedcba9876543210"
	return katBlock(tcg.TPMAlgSM4, key, key, "681edf34d206965e86b3e94f536e4246")
}

// katSM2 tests the scheme, which works on any curve, and the exchange.
func katSM2() error {
	k, digest, err := katECCKey()
	if err != nil {
		return err
	}
	s, err := k.SignSM2(NewDRBG(tcg.TPMAlgSHA256, []byte("nonce")), digest)
	if err != nil {
		return err
	}
	if err := known("c860dfb7caab1d6666f1a0fb9f8b827aeb8b4fd1c72583f3998f9e3f4dd9159d115b3f67c4c6c6dec0f86d8e392c2e074369e19a72b67542466c432dbafb77c5", s.R, s.S); err != nil {
		return err
	}
	if err := wrongSignature(k.VerifySM2(digest, s), k.VerifySM2(make([]byte, 32), s)); err != nil {
		return err
	}
	a, b, err := katPeers()
	if err != nil {
		return err
	}
	z, _, err := a.ZGen2Phase(tcg.TPMAlgSM2, []byte{5}, b.Q, a.Curve.Generator())
	if err != nil {
		return err
	}
	return known("738186ecb6993d1153d4dc2bae464b6df8af2f56331ba88529bc65e6aac9cfe7ed5f8e7f69aaa44fbadc73ba817c16ea82d7e0623df78b2e00f4836079f4af28", z.X, z.Y)
}
