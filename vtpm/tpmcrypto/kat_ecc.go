package tpmcrypto

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// katECCKey is the key of RFC 6979, A.2.5, and the digest that is signed.
func katECCKey() (*ECCPrivate, []byte, error) {
	k, err := NewECCPrivate(tcg.TPMECCNistP256, fromHex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))
	return k, Sum(nil, tcg.TPMAlgSHA256, []byte("abc")), err
}

// katECC compares [n-1]G with -G on each curve, a walk through the whole
// arithmetic with a known end, and one public point with RFC 6979. BN-638 is
// left out, as it takes as long as all the others and runs the code of P-192.
func katECC() error {
	for _, id := range Curves() {
		if id == tcg.TPMECCBNP638 {
			continue
		}
		c := CurveByID(id)
		one := make([]byte, c.Size)
		one[c.Size-1] = 1
		p, err := c.Mul(c.orderLess1.Nat().Bytes(c.order), c.Generator())
		if err != nil {
			return err
		}
		if !bytes.Equal(p.X, c.Gx) || bytes.Equal(p.Y, c.Gy) {
			return errAnswer{p.X, c.Gx}
		}
		if !c.add(p, c.baseMul(one)).Infinity() {
			return ErrPoint
		}
	}
	k, _, err := katECCKey()
	if err != nil {
		return err
	}
	return known("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299", k.Q.X, k.Q.Y)
}

// katECDSA is RFC 6979, A.2.5, SHA-256, "sample"; then a random signature with
// the standard library's and with the own algorithm.
func katECDSA() error {
	k, digest, err := katECCKey()
	if err != nil {
		return err
	}
	s, err := k.SignECDSADeterministic(tcg.TPMAlgSHA256, Sum(nil, tcg.TPMAlgSHA256, []byte("sample")))
	if err != nil {
		return err
	}
	if err := known("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8", s.R, s.S); err != nil {
		return err
	}
	r := NewDRBG(tcg.TPMAlgSHA256)
	if s, err = k.SignECDSA(r, digest); err != nil {
		return err
	}
	if err := k.ownVerifyECDSA(digest, s); err != nil {
		return err
	}
	if s, err = k.ownECDSA(r, digest); err != nil {
		return err
	}
	return wrongSignature(k.VerifyECDSA(digest, s), k.VerifyECDSA(make([]byte, 32), s))
}

// The answers below were made by this package, whose tests compare it with
// the equations of the specification, and ECDH with crypto/ecdh.

func katPeers() (a, b *ECCPrivate, err error) {
	if a, err = NewECCPrivate(tcg.TPMECCNistP256, fromHex("9106a0a417c021a8e4366dbefe566fb341d274cb91ed443cebb09352d4ed13d0")); err != nil {
		return nil, nil, err
	}
	b, err = NewECCKey(NewDRBG(tcg.TPMAlgSHA512, []byte("b")), tcg.TPMECCNistP256)
	return a, b, err
}

func katECDH() error {
	a, b, err := katPeers()
	if err != nil {
		return err
	}
	z, err := a.ECDH(b.Q)
	if err != nil {
		return err
	}
	return known("30d294ea00e6ddc39a1a0f2a0875f68a6210f0d3770c26a059ad3da4c4f140b94004f62120e9a75f3a2754ef1417818bdb442cfba9ef9abaa9f775e4f8f2cd18", z.X, z.Y)
}

func katECMQV() error {
	a, b, err := katPeers()
	if err != nil {
		return err
	}
	z, _, err := a.ZGen2Phase(tcg.TPMAlgECMQV, []byte{5}, b.Q, a.Curve.Generator())
	if err != nil {
		return err
	}
	return known("348e6417755dfd53a7778768d6ea3f48266539c6d4295b07148ae887884df53b36ff9756a3f154859a020532ccd010cd341f59280829ef0cff255e8c41193034", z.X, z.Y)
}

func katECDAA() error {
	k, digest, err := katECCKey()
	if err != nil {
		return err
	}
	s, err := k.SignECDAA(NewDRBG(tcg.TPMAlgSHA256, []byte("nonce")), tcg.TPMAlgSHA256, []byte{7}, digest)
	if err != nil {
		return err
	}
	return known("f2c027671dce5cb8078f83e40682db84773fd4bb146b6fd1bfc602cbe951f12dee7dfe0d03fa3567f20083de1d9b8063d30724b270fd84c65ed6db2008485b00", s.R, s.S)
}

func katSchnorr() error {
	k, digest, err := katECCKey()
	if err != nil {
		return err
	}
	s, err := k.SignSchnorr(NewDRBG(tcg.TPMAlgSHA256, []byte("nonce")), tcg.TPMAlgSHA256, digest)
	if err != nil {
		return err
	}
	if err := known("24df0e4b6e389c1fc9061b81e7f05431ae66cd960fe994ac1ebffaea3a0950577f5949746f345091fdd43065c2f3095cf08e627a77f3ed455982ca73655ef4c5", s.R, s.S); err != nil {
		return err
	}
	return wrongSignature(k.VerifySchnorr(tcg.TPMAlgSHA256, digest, s), k.VerifySchnorr(tcg.TPMAlgSHA256, make([]byte, 32), s))
}
