package mldsa

import (
	"testing"

	oracle "filippo.io/mldsa"
	"github.com/cloudflare/circl/sign"
)

// BenchmarkLibraries compares this package with the two that its tests use:
// a key from its seed, a signature, a verification.
func BenchmarkLibraries(b *testing.B) {
	seed, message := make([]byte, SeedSize), make([]byte, 100)
	for _, s := range sets() {
		own, err := NewPrivate(s.p, seed)
		if err != nil {
			b.Fatal(err)
		}
		filippo, err := oracle.NewPrivateKey(s.oracle, seed)
		if err != nil {
			b.Fatal(err)
		}
		pub, priv := s.circl.DeriveKey(seed)
		sig := s.circl.Sign(priv, message, nil)
		run := func(name string, f func(i int)) {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				for i := range b.N {
					f(i)
				}
			})
		}
		run("key/own", func(int) { _, _ = NewPrivate(s.p, seed) })
		run("key/filippo", func(int) { _, _ = oracle.NewPrivateKey(s.oracle, seed) })
		run("key/circl", func(int) { s.circl.DeriveKey(seed) })
		run("sign/own", func(i int) {
			m := make([]byte, MuSize)
			m[0], m[1] = byte(i), byte(i>>8)
			_, _ = own.SignMu(m, make([]byte, RndSize))
		})
		run("sign/filippo", func(i int) {
			message[0], message[1] = byte(i), byte(i>>8)
			_, _ = filippo.SignDeterministic(message, nil)
		})
		run("sign/circl", func(i int) {
			message[0], message[1] = byte(i), byte(i>>8)
			s.circl.Sign(priv, message, nil)
		})
		clear(message)
		k := own.Public()
		run("verify/own", func(int) { k.VerifyMu(mu(k, nil, message), sig) })
		run("verify/filippo", func(int) { _ = oracle.Verify(filippo.PublicKey(), message, sig, nil) })
		run("verify/circl", func(int) { s.circl.Verify(pub, message, sig, &sign.SignatureOpts{}) })
	}
}
