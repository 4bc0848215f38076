package tpmcrypto

import "stubtpm/vtpm/tcg"

// katDigests are the digests of "abc" in the examples of FIPS 180-4 and FIPS
// 202 that NIST publishes, and of GB/T 32905-2016, annex A.
var katDigests = map[tcg.TPMAlgID]string{
	tcg.TPMAlgSHA1:    "a9993e364706816aba3e25717850c26c9cd0d89d",
	tcg.TPMAlgSHA256:  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	tcg.TPMAlgSHA384:  "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
	tcg.TPMAlgSHA512:  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	tcg.TPMAlgSM3256:  "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
	tcg.TPMAlgSHA3256: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	tcg.TPMAlgSHA3384: "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
	tcg.TPMAlgSHA3512: "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
}

// katHash tests the one-shot and the running form.
func katHash(alg tcg.TPMAlgID) error {
	h := NewHash(alg)
	h.Write([]byte("a"))
	h.Write([]byte("bc"))
	if err := known(katDigests[alg], h.Sum(nil)); err != nil {
		return err
	}
	return known(katDigests[alg], Sum(nil, alg, []byte("abc")))
}

// katHMAC is test case 2 of RFC 4231.
func katHMAC() error {
	return known("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		SumHMAC(nil, tcg.TPMAlgSHA256, []byte("Jefe"), []byte("what do ya want "), []byte("for nothing?")))
}

// katDRBG generates, reseeds and generates again; the tests of the generator
// compare it with NIST's vectors.
func katDRBG() error {
	d, out := NewDRBG(tcg.TPMAlgSHA256, []byte("self-test")), make([]byte, 32)
	if err := d.Generate(out); err != nil {
		return err
	}
	d.Reseed([]byte("more"))
	if err := d.Generate(out); err != nil {
		return err
	}
	return known("52531893199f1160e4b75d63fe265a32965d627051f8fc2881bbe948102b65e7", out)
}

// The answers of the KDFs are those of google/go-tpm, with which the tests
// compare them at length, or follow from the definition.

func katKDFa() error {
	return known("56b49ed5d4226bcbadf1d89b10246f3ed7942b30d67ce308d5b2b90736d8311f",
		KDFa(tcg.TPMAlgSHA256, []byte("key"), "LABEL", []byte("u"), []byte("v"), 256))
}

func katKDFe() error {
	return known("ba66fde1dda4615d1f53ce8ab2a9d09fa7028456700ebf974f17818766122a4b",
		KDFe(tcg.TPMAlgSHA256, []byte("key"), "LABEL", []byte("u"), []byte("v"), 256))
}

func katMGF1() error {
	return known("cf2db1ac9867debdf8ce91f99f141e5544bf26ca36b3fd4f8e4035eec42cab0d46c386ebccef82ba",
		MGF1(tcg.TPMAlgSHA256, []byte("abc"), 40))
}

func katKDF2() error {
	return known("7c28c36da4cb876d2151a5810828d030358328ccb533e7d3a19e7c0131ae8940",
		KDF2(tcg.TPMAlgSHA256, []byte("key"), []byte("u"), 32))
}

func katXOR() error {
	data := []byte("abcdefgh")
	if err := XOR(tcg.TPMAlgSHA256, []byte("key"), []byte("u"), []byte("v"), data); err != nil {
		return err
	}
	return known("a3aef7ed3e729420", data)
}
