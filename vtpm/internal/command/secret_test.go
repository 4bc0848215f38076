package command

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// TestSharedSecretOfShortPoint: one ephemeral key in 256 has an x-coordinate
// that begins with a zero. tpm2-tools leave that zero out, of the point and of
// the key derivation alike; go-tpm keeps it in both. Either secret is found.
func TestSharedSecretOfShortPoint(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	k, err := tpmcrypto.NewECCKey(d.Cfg.Rand, tcg.TPMECCNistP256)
	if err != nil {
		t.Fatal(err)
	}
	o := &object.Object{}
	o.Public.Type, o.Public.NameAlg, o.Public.ECC.CurveID = tcg.TPMAlgECC, tcg.TPMAlgSHA256, tcg.TPMECCNistP256
	o.Public.UniqueECC, o.Sensitive.Sensitive = object.ECCPoint(k.Q), k.Scalar()
	for range 1 << 14 {
		e, err := tpmcrypto.NewECCKey(d.Cfg.Rand, tcg.TPMECCNistP256)
		if err != nil {
			t.Fatal(err)
		}
		if e.Q.X[0] != 0 {
			continue
		}
		z, err := e.ECDH(k.Q)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range [][]byte{e.Q.X, bytes.TrimLeft(e.Q.X, "\x00")} {
			want := tpmcrypto.KDFe(tcg.TPMAlgSHA256, z.X, "DUPLICATE", x, k.Q.X, 256)
			sent := tcg.TPMSECCPoint{X: x, Y: e.Q.Y}
			got, rc := decryptSecret(d, o, tcg.Marshal(&sent), "DUPLICATE")
			if rc != tcg.TPMRCSuccess || !bytes.Equal(got, want) {
				t.Errorf("x of %d bytes: another secret (%v)", len(x), rc)
			}
		}
		return
	}
	t.Fatal("no key with a short coordinate was made")
}
