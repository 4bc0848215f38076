package tpmcrypto

import (
	"testing"

	"stubtpm/vtpm/tcg"
)

// Multiples of the generator of TPM_ECC_BN_P256 as the package core/FP256BN of
// hyperledger/fabric-amcl (9e02669dceb2) computes them.
func TestBN256AMCL(t *testing.T) {
	t.Parallel()
	c := CurveByID(tcg.TPMECCBNP256)
	for _, v := range [][3]string{
		{"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "e9824f737d115515f0859153b050a1bb91761b7149037edc9bb8fc1ab7841122", "6aee3bfb59728050da89f97cdd46cf4f5d822efe50dd7098262505e5ff576c26"},
		{"4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a", "7c789e14c61d083409282ba9ad59c50d492a12bf7c31ff26da078d46d76bea2f", "da0c07601b7f5e7fa1f7de3a40b49c3bf87da55a59dbbe6aebe7aca69b3393f2"},
		{"5bc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d986", "a202c9b6a8f34aaba1c17fe55e4a50412f478cac0db4de82563e55cc3437c7fd", "6176ac8b12e0e43998e4745e8baf45f2b4f8b4276575085b43fe66b651fbd58e"},
		{"084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5", "a367595be52fec94f85cede8883a2e59fdc2879055f9115423e63834e890df70", "f4372a6e96ae67415952c2499278bd7e8917a899d364d832a877c03fc7435a62"},
	} {
		k := unhex(t, v[0])
		p, err := c.BaseMul(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := known(v[1]+v[2], p.X, p.Y); err != nil {
			t.Errorf("[%s]G: %v", v[0], err)
		}
		q, err := c.Mul(k, c.Generator())
		if err != nil {
			t.Fatal(err)
		}
		if err := known(v[1]+v[2], q.X, q.Y); err != nil {
			t.Errorf("[%s]G by the general way: %v", v[0], err)
		}
	}
}
