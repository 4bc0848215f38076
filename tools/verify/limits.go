package verify

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// Limits of what comes from outside. A signature by a larger key takes seconds to
// hours to verify.
const (
	minRSABits = 1024 // as crypto/rsa
	maxRSABits = 8192 // as crypto/tls
	maxSigned  = maxRSABits / 8
)

// checkKey returns an error for an RSA key whose size or exponent no TPM and no
// certification authority uses.
func checkKey(key crypto.PublicKey) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
		return fmt.Errorf("an RSA key of %d bits; %d to %d are taken", n, minRSABits, maxRSABits)
	}
	if k.N.Bit(0) == 0 || k.E < 3 || k.E > 1<<31-1 || k.E&1 == 0 {
		return fmt.Errorf("an RSA key with exponent %d, or an even modulus", k.E)
	}
	return nil
}

// checkCertificates returns an error for the first certificate whose key or
// signature is out of limits. It must be called before any signature of the
// certificates is verified.
func checkCertificates(certs ...*x509.Certificate) error {
	for _, c := range certs {
		if err := checkKey(c.PublicKey); err != nil {
			return fmt.Errorf("certificate of %s: %w", c.Subject, err)
		}
		if len(c.Signature) > maxSigned {
			return fmt.Errorf("certificate of %s: a signature of %d bytes; %d are taken", c.Subject, len(c.Signature), maxSigned)
		}
	}
	return nil
}
