package tpmcrypto

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
)

func vectorDRBG() *DRBG {
	return NewPrimaryDRBG([]byte("derivation vector seed"), "Primary Object Creation", []byte("template"), []byte("data"))
}

// Derivation version 1, for ever. If this test fails, every storage and
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
		1024: {"94462ca461514dd6b56480417e4bc8dfea2eda33694e8759942dd1dbf2d2d3d8", "9753e90bda7ee538a2adab1908462d5d8fa2662c4339c7bef4267bef1af287a3"},
		2048: {"158a833677b81032999c935ffec9dfb90107f38d79f2c14be7183858c4d1ae86", "0fd0838774c869ef26a85d31bb4dd5a7dffa7a73ac52187c2ef7fa8cbcd432dd"},
		3072: {"276bfe11c14721b21744ca49294802056d60144abbe30629afeb1bcd28b17411", "c7e0ac915c05d06f4801b3fa2a21c9baa7cde16e74f0b8837ba6223a363a02a1"},
		4096: {"c8536f463cc8c7041f406843f54f7fc0de05ecacf59bd7912f3c749c2370f6ae", "e622654b68780d68ac6633dd16a3fda5e3b618b8846483b9ba8a1a5a75effc68"},
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
