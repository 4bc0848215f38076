package tpmcrypto

import "stubtpm/vtpm/tcg"

// katRSAKey returns the key of the RSA tests. Each test prepares it anew,
// which is part of what is tested.
func katRSAKey() (*RSAPrivate, []byte, error) {
	k, err := NewRSAPrivate(fromHex(katRSAModulus), DefaultExponent, fromHex(katRSAPrime))
	return k, Sum(nil, tcg.TPMAlgSHA256, []byte("abc")), err
}

// katRSA tests the raw operations.
func katRSA() error {
	k, digest, err := katRSAKey()
	if err != nil {
		return err
	}
	s, err := k.Raw(digest)
	if err != nil {
		return err
	}
	if err := known(katRSARaw, s); err != nil {
		return err
	}
	m, err := k.Public().Raw(s)
	if err != nil {
		return err
	}
	return known("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", m[len(m)-32:])
}

func katRSASSAScheme() error {
	k, digest, err := katRSAKey()
	if err != nil {
		return err
	}
	s, err := k.SignPKCS1v15(tcg.TPMAlgSHA256, digest)
	if err != nil {
		return err
	}
	if err := known(katRSASSA, s); err != nil {
		return err
	}
	return wrongSignature(k.VerifyPKCS1v15(tcg.TPMAlgSHA256, digest, s),
		k.VerifyPKCS1v15(tcg.TPMAlgSHA256, make([]byte, 32), s))
}

// katRSAPSSScheme verifies a known signature and a new one.
func katRSAPSSScheme() error {
	k, digest, err := katRSAKey()
	if err != nil {
		return err
	}
	if err := k.VerifyPSS(tcg.TPMAlgSHA256, digest, fromHex(katRSAPSS)); err != nil {
		return err
	}
	s, err := k.SignPSS(NewDRBG(tcg.TPMAlgSHA256), tcg.TPMAlgSHA256, digest)
	if err != nil {
		return err
	}
	return wrongSignature(k.VerifyPSS(tcg.TPMAlgSHA256, digest, s),
		k.VerifyPSS(tcg.TPMAlgSHA256, make([]byte, 32), s))
}

func katRSAESScheme() error {
	k, _, err := katRSAKey()
	if err != nil {
		return err
	}
	m, err := k.DecryptPKCS1v15(fromHex(katRSAES))
	if err != nil {
		return err
	}
	return known("616263", m)
}

func katOAEPScheme() error {
	k, _, err := katRSAKey()
	if err != nil {
		return err
	}
	m, err := k.DecryptOAEP(tcg.TPMAlgSHA256, []byte("SELFTEST\x00"), fromHex(katRSAOAEP))
	if err != nil {
		return err
	}
	return known("616263", m)
}

// wrongSignature wants a good signature accepted and a bad one refused.
func wrongSignature(good, bad error) error {
	if good != nil {
		return good
	}
	if bad == nil {
		return ErrSignature
	}
	return nil
}
