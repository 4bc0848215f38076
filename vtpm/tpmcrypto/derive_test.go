package tpmcrypto

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
)

func vectorDRBG() *DRBG {
	return NewPrimaryDRBG([]byte("derivation vector seed"), "Primary Object Creation", []byte("template"), []byte("data"))
}

// Derivation version 1, forever. If this test fails, every storage and
// endorsement key of every existing TPM changes: make a new version, and keep
// the old one for the states that name it.
func TestDerivationVersion1(t *testing.T) {
	t.Parallel()
	if DerivationVersion != 1 {
		t.Fatal("add vectors for the new version, and keep these")
	}
	b := make([]byte, 64)
	vectorDRBG().Read(b)
	if !bytes.Equal(b, unhex(t, "7e3725a054114b735dee64253aa0ecb7c89fec70a05e8ee16546d6c063a84f3356a638da11c40f77e3bb0164a7a7b39735d2c380c6e67315e1bf8a8c492a6670")) {
		t.Errorf("octets %x", b)
	}
	for nbits, want := range map[int][2]string{ // SHA-256 of modulus and first prime
		1024: {"a40005416f827dc9d3a5e50fbfd17626e15557aa53ad08e626d82f81ecac1a43", "373486aae336ce3a67237a860f497e9518edc82284a7a016ea5c35ad82b56889"},
		2048: {"a239fb998eafcca4102037b9bae099962f89b5d4c2b203db3c00458ec403f5cf", "873e7be3364d0c64aa69abddf8975c318afd515310a5cbd7367f77320c8e6149"},
		3072: {"cd35607e44932fc91517a3c70747de69fe2084a2591de7b6768078642e05f926", "63c80315961c09d57b1f7ab79109c684fc34181219ce41c8c78dc3a017116a46"},
		4096: {"dc0a6526c9de30b92ca9ff675b1e1fc373c8711f57ed794953b5456362bd453e", "ebc50ebbe16ff62ed05344d927f240f414a0a1d716f9d840a443d5bb14a32908"},
	} {
		if nbits > 2048 && testing.Short() {
			continue
		}
		k, err := NewRSAKey(vectorDRBG(), nbits, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(Sum(nil, tcg.TPMAlgSHA256, k.Modulus()), unhex(t, want[0])) ||
			!bytes.Equal(Sum(nil, tcg.TPMAlgSHA256, k.P()), unhex(t, want[1])) {
			t.Errorf("RSA-%d: modulus %x, prime %x", nbits, k.Modulus(), k.P())
		}
	}
	for id, want := range map[tcg.TPMECCCurve]string{
		tcg.TPMECCNistP192: "5dee64256cfb2ea89343461bd08076224b2a26ce2c4a31a4",
		tcg.TPMECCNistP224: "5dee64253aa15fc5e3533ad1992bd2448e9fd18785b501815ae3abe7",
		tcg.TPMECCNistP256: "b1ffaf9768587ba4e9b4b14c1157c62420611d653411f928ccefe87b746ffa88",
		tcg.TPMECCNistP384: "5dee64253aa0ecb7c89fec70a05e8ee181302896e0dcb2e87f1b4e8c5874bac8d2b04804905ce4d663536297de9e6ee0",
		tcg.TPMECCNistP521: "01ee64253aa0ecb7c89fec70a05e8ee16546d6c063a84f3356a6d5830171641eedc6c253349ee815243278ce07c12f2489d1f0abd557171360352af1587023a2d8cd",
		tcg.TPMECCBNP256:   "0c0bd11e0e67b4ef06e2eb502a9910e248cc85cb6dc0028cdfa5b3b524263c64",
		tcg.TPMECCBNP638:   "217aa102d78e163a0301e0046bb529ed9a39294ac9ae06e986f290baf9876d91e18b1dde6d7b2e96be920802d87790db3d8931c4b05bfd6f2b870387e44ff6ba19734e7578b6cd77a8f713cf40ad7912",
		tcg.TPMECCSM2P256:  "3036d5393aa0ecb80ea09a8388a5b84ee57d2adde0d7ceceef3542f235caf6d0",
	} {
		k, err := NewECCKey(vectorDRBG(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.Scalar(), unhex(t, want)) {
			t.Errorf("curve %#x: %x", id, k.Scalar())
		}
	}
}
