package tcg_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// fill returns n bytes that differ.
func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

// A structure is one of ours, to be read and written.
type structure interface {
	Marshal(w *tcg.Writer)
}

// A sample is the wire form that go-tpm gives a structure, and how ours reads
// it.
type sample struct {
	name string
	wire []byte
	read func(r *tcg.Reader) structure
}

func public(r *tcg.Reader) structure {
	p := new(tcg.TPMTPublic)
	p.UnmarshalPlus(r)
	return p
}

func signature(r *tcg.Reader) structure {
	s := new(tcg.TPMTSignature)
	s.UnmarshalPlus(r)
	return s
}

func attest(r *tcg.Reader) structure {
	a := new(tcg.TPMSAttest)
	a.Unmarshal(r)
	return a
}

func sensitive(r *tcg.Reader) structure {
	s := new(tcg.TPMTSensitive)
	s.Unmarshal(r)
	return s
}

func goSymDef(alg, mode tpm2.TPMAlgID, bits uint16) tpm2.TPMTSymDefObject {
	return tpm2.TPMTSymDefObject{
		Algorithm: alg,
		KeyBits:   tpm2.NewTPMUSymKeyBits(alg, tpm2.TPMKeyBits(bits)),
		Mode:      tpm2.NewTPMUSymMode(alg, mode),
	}
}

func goPublics() map[string]tpm2.TPMTPublic {
	m := map[string]tpm2.TPMTPublic{
		"RSA SRK": tpm2.RSASRKTemplate, "RSA EK": tpm2.RSAEKTemplate,
		"ECC SRK": tpm2.ECCSRKTemplate, "ECC EK": tpm2.ECCEKTemplate,
	}
	m["RSA PSS"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA384,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, X509Sign: true, STClear: true, EncryptedDuplication: true},
		AuthPolicy:       tpm2.TPM2BDigest{Buffer: fill(48)},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSAPSS,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA512})},
			KeyBits: 3072, Exponent: 65537,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: fill(384)}),
	}
	m["ECC ECDSA"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, Restricted: true, FixedTPM: true, FixedParent: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP521,
			KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgKDF1SP80056A,
				Details: tpm2.NewTPMUKDFScheme(tpm2.TPMAlgKDF1SP80056A, &tpm2.TPMSKDFSchemeKDF1SP80056A{HashAlg: tpm2.TPMAlgSHA1})},
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: fill(66)}, Y: tpm2.TPM2BECCParameter{Buffer: fill(65)}}),
	}
	m["ECC ECDAA"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDAA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDAA, &tpm2.TPMSSchemeECDAA{HashAlg: tpm2.TPMAlgSHA256, Count: 7})},
			CurveID: tpm2.TPMECCBNP256,
		}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
	m["HMAC"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA512,
		ObjectAttributes: tpm2.TPMAObject{SignEncrypt: true, AdminWithPolicy: true, UserWithAuth: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{
			Scheme: tpm2.TPMTKeyedHashScheme{Scheme: tpm2.TPMAlgHMAC,
				Details: tpm2.NewTPMUSchemeKeyedHash(tpm2.TPMAlgHMAC, &tpm2.TPMSSchemeHMAC{HashAlg: tpm2.TPMAlgSHA384})}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{Buffer: fill(64)}),
	}
	m["XOR"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{
			Scheme: tpm2.TPMTKeyedHashScheme{Scheme: tpm2.TPMAlgXOR,
				Details: tpm2.NewTPMUSchemeKeyedHash(tpm2.TPMAlgXOR, &tpm2.TPMSSchemeXOR{
					HashAlg: tpm2.TPMAlgSHA256, KDF: tpm2.TPMAlgKDF1SP800108})}}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{}),
	}
	m["sealed"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{Buffer: fill(32)}),
	}
	m["AES"] = tpm2.TPMTPublic{
		Type: tpm2.TPMAlgSymCipher, NameAlg: tpm2.TPMAlgSHA256,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgSymCipher, &tpm2.TPMSSymCipherParms{
			Sym: goSymDef(tpm2.TPMAlgAES, tpm2.TPMAlgCTR, 256)}),
		Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgSymCipher, &tpm2.TPM2BDigest{Buffer: fill(32)}),
	}
	return m
}

func goAttests() map[string]tpm2.TPMSAttest {
	name, digest := tpm2.TPM2BName{Buffer: fill(34)}, tpm2.TPM2BDigest{Buffer: fill(32)}
	clock := tpm2.TPMSClockInfo{Clock: 1 << 40, ResetCount: 2, RestartCount: 3, Safe: true}
	sel := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{1, 2, 0x80}}, {Hash: tpm2.TPMAlgSHA1, PCRSelect: []byte{0, 0, 0}}}}
	m := map[string]tpm2.TPMSAttest{}
	add := func(what string, tag tpm2.TPMST, u tpm2.TPMUAttest) {
		m[what] = tpm2.TPMSAttest{
			Magic: tpm2.TPMGeneratedValue, Type: tag, QualifiedSigner: name,
			ExtraData: tpm2.TPM2BData{Buffer: fill(20)}, ClockInfo: clock, FirmwareVersion: 1<<63 | 5, Attested: u,
		}
	}
	add("certify", tpm2.TPMSTAttestCertify, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify,
		&tpm2.TPMSCertifyInfo{Name: name, QualifiedName: name}))
	add("creation", tpm2.TPMSTAttestCreation, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation,
		&tpm2.TPMSCreationInfo{ObjectName: name, CreationHash: digest}))
	add("quote", tpm2.TPMSTAttestQuote, tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote,
		&tpm2.TPMSQuoteInfo{PCRSelect: sel, PCRDigest: digest}))
	add("command audit", tpm2.TPMSTAttestCommandAudit, tpm2.NewTPMUAttest(tpm2.TPMSTAttestCommandAudit,
		&tpm2.TPMSCommandAuditInfo{AuditCounter: 9, DigestAlg: tpm2.TPMAlgSHA256, AuditDigest: digest, CommandDigest: digest}))
	add("session audit", tpm2.TPMSTAttestSessionAudit, tpm2.NewTPMUAttest(tpm2.TPMSTAttestSessionAudit,
		&tpm2.TPMSSessionAuditInfo{ExclusiveSession: true, SessionDigest: digest}))
	add("time", tpm2.TPMSTAttestTime, tpm2.NewTPMUAttest(tpm2.TPMSTAttestTime,
		&tpm2.TPMSTimeAttestInfo{Time: tpm2.TPMSTimeInfo{Time: 77, ClockInfo: clock}, FirmwareVersion: 6}))
	add("nv", tpm2.TPMSTAttestNV, tpm2.NewTPMUAttest(tpm2.TPMSTAttestNV,
		&tpm2.TPMSNVCertifyInfo{IndexName: name, Offset: 3, NVContents: tpm2.TPM2BData{Buffer: fill(99)}}))
	add("nv digest", tpm2.TPMSTAttestNVDigest, tpm2.NewTPMUAttest(tpm2.TPMSTAttestNVDigest,
		&tpm2.TPMSNVDigestCertifyInfo{IndexName: name, NVDigest: digest}))
	return m
}

func samples() []sample {
	var all []sample
	add := func(name string, v tpm2.Marshallable, read func(r *tcg.Reader) structure) {
		all = append(all, sample{name, tpm2.Marshal(v), read})
	}
	for n, p := range goPublics() {
		add("public "+n, p, public)
	}
	for n, a := range goAttests() {
		add("attest "+n, a, attest)
	}
	rsaSig := tpm2.TPMSSignatureRSA{Hash: tpm2.TPMAlgSHA256, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: fill(256)}}
	eccSig := tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA384,
		SignatureR: tpm2.TPM2BECCParameter{Buffer: fill(48)}, SignatureS: tpm2.TPM2BECCParameter{Buffer: fill(47)}}
	for _, a := range []tpm2.TPMAlgID{tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS} {
		add("signature RSA", tpm2.TPMTSignature{SigAlg: a, Signature: tpm2.NewTPMUSignature(a, &rsaSig)}, signature)
	}
	for _, a := range []tpm2.TPMAlgID{tpm2.TPMAlgECDSA, tpm2.TPMAlgECDAA} {
		add("signature ECC", tpm2.TPMTSignature{SigAlg: a, Signature: tpm2.NewTPMUSignature(a, &eccSig)}, signature)
	}
	add("signature HMAC", tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgHMAC, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgHMAC,
		&tpm2.TPMTHA{HashAlg: tpm2.TPMAlgSHA256, Digest: fill(32)})}, signature)

	auth, seed := tpm2.TPM2BAuth{Buffer: fill(20)}, tpm2.TPM2BDigest{Buffer: fill(32)}
	add("sensitive RSA", tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgRSA, AuthValue: auth, SeedValue: seed,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: fill(128)})}, sensitive)
	add("sensitive ECC", tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgECC, AuthValue: auth, SeedValue: seed,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgECC, &tpm2.TPM2BECCParameter{Buffer: fill(32)})}, sensitive)
	add("sensitive data", tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgKeyedHash, AuthValue: auth, SeedValue: seed,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BSensitiveData{Buffer: fill(128)})}, sensitive)
	add("sensitive key", tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgSymCipher, AuthValue: auth, SeedValue: seed,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgSymCipher, &tpm2.TPM2BSymKey{Buffer: fill(16)})}, sensitive)

	add("nv public", tpm2.TPMSNVPublic{NVIndex: 0x01C00002, NameAlg: tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{PPWrite: true, OwnerRead: true, AuthRead: true, NT: tpm2.TPMNTExtend, NoDA: true,
			Written: true, ReadSTClear: true, PolicyDelete: true},
		AuthPolicy: seed, DataSize: 32}, func(r *tcg.Reader) structure {
		p := new(tcg.TPMSNVPublic)
		p.Unmarshal(r)
		return p
	})
	add("creation data", tpm2.TPMSCreationData{
		PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA1, PCRSelect: []byte{9, 8, 7}}}},
		PCRDigest: seed, Locality: tpm2.TPMALocality{TPMLocThree: true}, ParentNameAlg: tpm2.TPMAlgSHA256,
		ParentName: tpm2.TPM2BName{Buffer: fill(34)}, ParentQualifiedName: tpm2.TPM2BName{Buffer: fill(34)},
		OutsideInfo: tpm2.TPM2BData{Buffer: fill(3)}}, func(r *tcg.Reader) structure {
		c := new(tcg.TPMSCreationData)
		c.Unmarshal(r)
		return c
	})
	add("sym def", tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgAES,
		KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(128)),
		Mode:    tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)}, symDef)
	add("sym def XOR", tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgXOR,
		KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgXOR, tpm2.TPMAlgSHA256)}, symDef)
	add("context", tpm2.TPMSContext{Sequence: 5, SavedHandle: 0x80000002, Hierarchy: tpm2.TPMRHOwner,
		ContextBlob: tpm2.TPM2BContextData{Buffer: fill(200)}}, func(r *tcg.Reader) structure {
		c := new(tcg.TPMSContext)
		c.Unmarshal(r)
		return c
	})
	add("digest values", tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
		{HashAlg: tpm2.TPMAlgSHA1, Digest: fill(20)}, {HashAlg: tpm2.TPMAlgSHA512, Digest: fill(64)}}}, func(r *tcg.Reader) structure {
		l := new(tcg.TPMLDigestValues)
		l.Unmarshal(r)
		return l
	})
	add("digests", tpm2.TPMLDigest{Digests: []tpm2.TPM2BDigest{seed, {Buffer: fill(64)}, {}}}, func(r *tcg.Reader) structure {
		l := new(tcg.TPMLDigest)
		l.Unmarshal(r)
		return l
	})
	add("creation ticket", tpm2.TPMTTKCreation{Tag: tpm2.TPMSTCreation, Hierarchy: tpm2.TPMRHOwner, Digest: seed}, func(r *tcg.Reader) structure {
		k := new(tcg.TPMTTk)
		k.UnmarshalCreation(r)
		return k
	})
	// Maps have no order, and the fuzz target numbers the samples.
	slices.SortStableFunc(all, func(a, b sample) int { return strings.Compare(a.name, b.name) })
	return all
}

func symDef(r *tcg.Reader) structure {
	s := new(tcg.TPMTSymDef)
	s.UnmarshalPlus(r)
	return s
}

// What go-tpm writes is read and written back the same, and no prefix of it is
// accepted.
func TestRoundTripWithGoTPM(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		for _, p := range []*tcg.Profile{nil, tcg.DefaultProfile()} {
			r := tcg.NewReader(s.wire, p)
			v := s.read(&r)
			if r.Err() != tcg.TPMRCSuccess || r.Len() != 0 {
				t.Errorf("%s: %v, %d bytes left", s.name, r.Err(), r.Len())
				continue
			}
			if got := tcg.Marshal(v); !bytes.Equal(got, s.wire) {
				t.Errorf("%s: wrote\n%x, want\n%x", s.name, got, s.wire)
			}
		}
		for n := range s.wire {
			r := tcg.NewReader(s.wire[:n], nil)
			if s.read(&r); r.Err() != tcg.TPMRCInsufficient {
				t.Errorf("%s cut to %d of %d bytes: %v, want TPM_RC_INSUFFICIENT", s.name, n, len(s.wire), r.Err())
				break
			}
		}
	}
}

// What is accepted, however it was damaged, is written back the same.
func FuzzStructures(f *testing.F) {
	all := samples()
	for i, s := range all {
		f.Add(uint8(i), s.wire)
	}
	f.Fuzz(func(t *testing.T, i uint8, wire []byte) {
		s := all[int(i)%len(all)]
		r := tcg.NewReader(wire, tcg.DefaultProfile())
		v := s.read(&r)
		if r.Err() != tcg.TPMRCSuccess {
			return
		}
		if got, want := tcg.Marshal(v), wire[:len(wire)-r.Len()]; !bytes.Equal(got, want) {
			t.Errorf("%s: read %x and wrote %x", s.name, want, got)
		}
	})
}

func BenchmarkPublicECC(b *testing.B) { benchPublic(b, "ECC SRK") }
func BenchmarkPublicRSA(b *testing.B) { benchPublic(b, "RSA SRK") }

func benchPublic(b *testing.B, name string) {
	wire := tpm2.Marshal(goPublics()[name])
	p := tcg.DefaultProfile()
	b.Run("Unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := tcg.NewReader(wire, p)
			var v tcg.TPMTPublic
			v.Unmarshal(&r)
			if r.Err() != 0 {
				b.Fatal(r.Err())
			}
		}
	})
	b.Run("Marshal", func(b *testing.B) {
		r := tcg.NewReader(wire, p)
		var v tcg.TPMTPublic
		v.Unmarshal(&r)
		w := tcg.Writer{B: make([]byte, 0, 1024)}
		b.ReportAllocs()
		for b.Loop() {
			w.B = w.B[:0]
			v.Marshal(&w)
		}
	})
}
