package tpmcrypto

import (
	"sync"

	"stubtpm/vtpm/tcg"
)

// A katRSA holds the key of the RSA tests, which prepare it once for all of
// them in a run, and the digest that they sign.
type katRSA struct {
	once   sync.Once
	key    *RSAPrivate
	digest []byte
	err    error
}

func (r *katRSA) get() (*RSAPrivate, []byte, error) {
	r.once.Do(func() {
		r.key, r.err = NewRSAPrivate(fromHex(katRSAModulus), DefaultExponent, fromHex(katRSAPrime))
		r.digest = Sum(nil, tcg.TPMAlgSHA256, []byte("abc"))
	})
	return r.key, r.digest, r.err
}

// raw tests the raw operations.
func (r *katRSA) raw() error {
	k, digest, err := r.get()
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

func (r *katRSA) ssa() error {
	k, digest, err := r.get()
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

// pss verifies a known signature and a new one.
func (r *katRSA) pss() error {
	k, digest, err := r.get()
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

func (r *katRSA) es() error {
	k, _, err := r.get()
	if err != nil {
		return err
	}
	m, err := k.DecryptPKCS1v15(fromHex(katRSAES))
	if err != nil {
		return err
	}
	return known("616263", m)
}

func (r *katRSA) oaep() error {
	k, _, err := r.get()
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
