package command_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"testing"

	oracle "filippo.io/mldsa"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/mldsa"
)

// checkML verifies a signature over a message apart from the device: ML-DSA by
// another implementation, HashML-DSA by its mu written out.
func checkML(t *testing.T, p *tcg.TPMTPublic, context string, message []byte, sig tcg.TPMTSignature) {
	t.Helper()
	set, ours := oracle.MLDSA44(), mldsa.MLDSA44()
	if p.MLDSA.ParameterSet == tcg.TPMMLDSA65 {
		set, ours = oracle.MLDSA65(), mldsa.MLDSA65()
	}
	if p.MLDSA.ParameterSet == tcg.TPMMLDSA87 {
		set, ours = oracle.MLDSA87(), mldsa.MLDSA87()
	}
	if sig.SigAlg != p.Type || len(sig.Sig) != set.SignatureSize() {
		t.Fatalf("signature of %#x with %d bytes", sig.SigAlg, len(sig.Sig))
	}
	if p.Type == tcg.TPMAlgMLDSA {
		k, err := oracle.NewPublicKey(set, p.UniqueML)
		if err != nil {
			t.Fatal(err)
		}
		if err := oracle.Verify(k, message, sig.Sig, &oracle.Options{Context: context}); err != nil {
			t.Errorf("the oracle refuses the signature: %v", err)
		}
		return
	}
	k, err := mldsa.NewPublic(ours, p.UniqueML)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	oid := []byte{0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}
	mu := sha3.SumSHAKE256(bytes.Join([][]byte{sha3.SumSHAKE256(p.UniqueML, 64), {1, byte(len(context))}, []byte(context), oid, digest[:]}, nil), 64)
	if sig.Hash != tcg.TPMAlgSHA256 || !k.VerifyMu(mu, sig.Sig) {
		t.Error("no signature of HashML-DSA")
	}
}

// TestAttestationML: each attestation command signs by keys of ML-DSA and
// HashML-DSA; a digest in the structure is by the scheme's hash, or the Name's
// (errata of version 1.85, 2.6 and 2.7).
func TestAttestationML(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	x := define(tpm, owner, index(700, byOwner))
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, make([]byte, 700), 0)
	commands := attestations(tpm)
	for _, p := range mldsaSets() {
		p.ObjectAttributes |= tcg.TPMAObjectRestricted
		p.NameAlg = tcg.TPMAlgSHA384
		key := tpm.Primary(endorsement, p, none)
		for cc, c := range commands {
			a, b, sig := attest(tpm, c.run(tpm, key.Handle, "nonce", nil))
			if a.Type != c.kind || string(a.ExtraData) != "nonce" {
				t.Errorf("%v: %#x, %q", cc, a.Type, a.ExtraData)
			}
			checkML(t, &key.Public, "", b, sig)
			if n, want := len(a.Quote.PCRDigest), map[bool]int{false: 48, true: 32}[p.Type == tcg.TPMAlgHashMLDSA]; cc == tcg.TPMCCQuote && n != want {
				t.Errorf("%#x: a PCR digest of %d bytes, want %d", p.Type, n, want)
			}
			// What is asked for may repeat the key's scheme.
			c.run(tpm, key.Handle, nil, tcg.TPMTAsymScheme{Scheme: p.Type})
			h, params := c.command(key.Handle, nil, ecdsa)
			tpm.Want(tcg.TPMRCScheme.P(c.inScheme), cc, h, nil, params...)
		}
		h := handles{key.Handle, owner, x}
		_, b, sig := attest(tpm, tpm.Do(tcg.TPMCCNVCertify, h, nil, "nonce", nil, 0, 0))
		checkML(t, &key.Public, "", b, sig)
		_, b, sig = attest(tpm, tpm.Do(tcg.TPMCCNVCertify, h, nil, "nonce", nil, 100, 5))
		checkML(t, &key.Public, "", b, sig)
		if r := tpm.Run(tcg.TPMCCNVCertify, h, nil, nil, nil, 700, 0); (r.Code == tcg.TPMRCSize.P(3)) != (p.MLDSA.ParameterSet == tcg.TPMMLDSA65) {
			t.Errorf("%#x, set %d: 700 bytes certified: %v", p.Type, p.MLDSA.ParameterSet, r.Code)
		}
		tpm.Flush(key.Handle)
	}
	// No key, and a scheme that names no hash.
	tpm.Want(tcg.TPMRCScheme.P(2), tcg.TPMCCQuote, handles{null}, nil, nil, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgMLDSA}, nil)
	tpm.Want(tcg.TPMRCScheme.P(2), tcg.TPMCCNVCertify, handles{null, owner, x}, nil, nil, tcg.TPMTAsymScheme{Scheme: tcg.TPMAlgMLDSA}, 0, 0)
}

// TestSignRefusesML: the commands for digests of before version 1.85 do not take the
// new keys (Part 3, Table 115).
func TestSignRefusesML(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	digest := sha256.Sum256(nil)
	for _, p := range mldsaSets() {
		key := tpm.Primary(owner, p, none)
		tpm.Want(tcg.TPMRCScheme.P(2), tcg.TPMCCSign, handles{key.Handle}, nil, digest[:], nil, nil)
		sig := tcg.TPMTSignature{SigAlg: p.Type, Hash: tcg.TPMAlgSHA256, Sig: make([]byte, 2420)}
		tpm.Want(tcg.TPMRCScheme.P(2), tcg.TPMCCVerifySignature, handles{key.Handle}, nil, digest[:], sig)
		tpm.Flush(key.Handle)
	}
}

// TestNVCertifyFits: what TPM2_NV_Certify returns at most fits the smallest buffer,
// with the longest names, a context of 64 bytes and three sessions.
func TestNVCertifyFits(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	p := index(1024, byOwner)
	p.NameAlg = tcg.TPMAlgSHA512
	x := define(tpm, owner, p)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, make([]byte, 1024), 0)
	for _, p := range mldsaSets() {
		p.NameAlg = tcg.TPMAlgSHA512
		key := tpm.Primary(owner, p, none)
		largest := 0
		for n := 1; n <= 1024; n++ {
			r := tpm.Run(tcg.TPMCCNVCertify, handles{key.Handle, owner, x}, nil, make([]byte, 64), nil, n, 0)
			if r.Code != 0 {
				break
			}
			largest = n
			if size := 10 + 4 + 3*133 + len(r.Params); size > 4088 {
				t.Fatalf("%d bytes: a response of %d", n, size)
			}
			if n < 100 {
				n += 20 // quicker
			}
		}
		if largest < 100 {
			t.Errorf("only %d bytes are certified", largest)
		}
		tpm.Flush(key.Handle)
	}
}
