package command_test

import (
	"bytes"
	goecdsa "crypto/ecdsa"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestWideCoordinates: coordinates and numbers with any zeros in front are what
// they are without; what is too large is refused; nothing ends in failure mode.
func TestWideCoordinates(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	plain, private := outside(t, 0)
	for _, size := range []int{32, 33, 34, 64, tcg.MaxECCKeyBytes} {
		// widen writes a number with zeros in front.
		widen := func(b []byte) []byte { return append(make([]byte, size-len(b)), b...) }
		q := tcg.TPMSECCPoint{X: widen(plain.UniqueECC.X), Y: widen(plain.UniqueECC.Y)}
		load := func(attributes tcg.TPMAObject, scheme tcg.TPMTAsymScheme) handles {
			p, s := plain, private
			p.ObjectAttributes |= attributes
			p.ECC.Scheme, p.UniqueECC, s.Sensitive = scheme, q, widen(private.Sensitive)
			return handles{external(tpm, p, &s)}
		}
		h := load(sign, noAlg)
		part := partial(t, nil, keyUsage(t, 0x80))
		r := tpm.Do(tcg.TPMCCCertifyX509, append(h, h[0]), nil, nil, ecdsa, part)
		added := take(r)
		take(r)
		key := assemble(t, part, added, signature(r)).PublicKey.(*goecdsa.PublicKey)
		if !key.Equal(goECDSA(&plain)) {
			t.Errorf("x of %d bytes: another key is certified", size)
		}
		tpm.Flush(h[0])

		h = load(decrypt, noAlg)
		wide, narrow := point(tpm.Do(tcg.TPMCCECDHZGen, h, nil, q)), point(tpm.Do(tcg.TPMCCECDHZGen, h, nil, plain.UniqueECC))
		if !bytes.Equal(wide.X, narrow.X) || !bytes.Equal(wide.Y, narrow.Y) {
			t.Errorf("x of %d bytes: another secret is agreed on", size)
		}
		tpm.Do(tcg.TPMCCECDHKeyGen, h, nil)
		for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgECDH, tcg.TPMAlgECMQV} {
			r := tpm.Do(tcg.TPMCCECEphemeral, nil, nil, tcg.TPMECCNistP256)
			point(r)
			tpm.Do(tcg.TPMCCZGen2Phase, h, nil, q, q, alg, r.Uint16())
		}
		tpm.Flush(h[0])

		h = load(sign, ecdaa)
		tpm.Do(tcg.TPMCCCommit, h, nil, q, nil, nil)
		tpm.Flush(h[0])

		if size > 32 { // one bit above the field
			bad := plain
			bad.ObjectAttributes |= sign
			bad.UniqueECC = q.Clone()
			bad.UniqueECC.X[0] |= 1
			tpm.Want(tcg.TPMRCECCPoint.P(1), tcg.TPMCCLoadExternal, nil, nil, nil, bad, null)
		}
	}
	tpm.Do(tcg.TPMCCGetRandom, nil, nil, 1) // is refused in failure mode
}
