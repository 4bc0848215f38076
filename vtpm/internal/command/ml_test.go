package command_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// mldsaSets are templates of signing keys, of ML-DSA and HashML-DSA.
func mldsaSets() (all []tcg.TPMTPublic) {
	for _, set := range []uint16{tcg.TPMMLDSA44, tcg.TPMMLDSA65} {
		p := tpmtest.MLDSA(0)
		p.MLDSA.ParameterSet = set
		all = append(all, p)
		p.Type, p.MLDSA.HashAlg = tcg.TPMAlgHashMLDSA, tcg.TPMAlgSHA256
		all = append(all, p)
	}
	return all
}

// TestMLPrimaries pins the primary keys of a seed forever: a change here takes
// everybody's keys away. Their derivation is in docs/state-format.md.
func TestMLPrimaries(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t, tpmtest.Profile(tpmtest.PostQuantum), tpmtest.Seed(0x2A))
	templates := append(mlkemSets(), mldsaSets()...)
	templates = append(templates, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed))
	want := []string{
		"3919e6482ee45cc685b7023a85828b79e441a625d492b23506c1be688e99ce5f",
		"eb2fd01a099b09f481e90be3f9ea1a1a31bd5e5399234123af822e8bd44372db",
		"1409c5cad637d57bb95adf77e6b0a2053877cf10018aba0b8656dd1b3327679f",
		"4ab95308d644de1cf3bb7d12f33f3f4ec3deb4517068ab8b2afd483fc492b1fc",
		"d421bf5199f80fbc5261afcf0f3082b9e205d6cc23727cff2d48c45092953b20",
		"0dfa7ac2dba53adca3ed28e2588cb394619b2036c8e895e355c6950ae904e244",
		"2783f615cc94a09807ed8c2c347e50a4147e77f4f61575ec2e145e2dcc26fd77",
		"13a4e20f5ad56f17e6e2d9fe6b6a8ecfa6d24c850d5d26128e16a1ffda9b4cf9",
	}
	for i, p := range templates {
		o := tpm.Primary(owner, p, none)
		sum := sha256.Sum256(o.Public.UniqueML)
		if got := hex.EncodeToString(sum[:]); got != want[i] {
			t.Errorf("template %d, %#x: %s, want %s", i, p.Type, got, want[i])
		}
		again := tpm.Primary(owner, p, none)
		if !bytes.Equal(again.Name, o.Name) {
			t.Errorf("template %d: another key at the second time", i)
		}
		tpm.Flush(o.Handle, again.Handle)
	}
}

// TestMLTemplates: what a template of version 1.85 may say, and what it is
// answered.
func TestMLTemplates(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	change := func(p tcg.TPMTPublic, f func(p *tcg.TPMTPublic)) tcg.TPMTPublic { f(&p); return p }
	attributes := func(a tcg.TPMAObject) func(p *tcg.TPMTPublic) {
		return func(p *tcg.TPMTPublic) { p.ObjectAttributes ^= a }
	}
	kem, storage, mldsa := tpmtest.MLKEM(decrypt), tpmtest.MLKEM(tpmtest.Parent), tpmtest.MLDSA(0)
	hashed := mldsaSets()[1]
	ecc := dhkem(tcg.TPMECCNistP256, tcg.TPMAlgSHA256)
	for _, c := range []struct {
		what string
		rc   tcg.TPMRC
		p    tcg.TPMTPublic
	}{
		{"a KEM key", 0, kem},
		{"a storage key", 0, storage},
		{"a signing key", 0, mldsa},
		{"a restricted signing key", 0, change(mldsa, attributes(tcg.TPMAObjectRestricted))},
		{"a key of HashML-DSA", 0, hashed},
		{"a key for an external mu", 0, change(mldsa, func(p *tcg.TPMTPublic) { p.MLDSA.AllowExternalMu = true })},
		{"a key of DHKEM", 0, ecc},
		{"no such set of ML-KEM", tcg.TPMRCParms.P(2), change(kem, func(p *tcg.TPMTPublic) { p.MLKEM.ParameterSet = 4 })},
		{"no set of ML-KEM", tcg.TPMRCParms.P(2), change(kem, func(p *tcg.TPMTPublic) { p.MLKEM.ParameterSet = 0 })},
		{"ML-DSA-87, whose signatures fit no response", tcg.TPMRCParms.P(2), change(mldsa, func(p *tcg.TPMTPublic) { p.MLDSA.ParameterSet = 3 })},
		{"HashML-DSA-87", tcg.TPMRCParms.P(2), change(hashed, func(p *tcg.TPMTPublic) { p.MLDSA.ParameterSet = 3 })},
		{"a KEM key that signs", tcg.TPMRCAttributes.P(2), change(kem, attributes(tcg.TPMAObjectSignEncrypt))},
		{"a KEM key that does nothing", tcg.TPMRCAttributes.P(2), change(kem, attributes(decrypt))},
		{"a signing key that decrypts", tcg.TPMRCAttributes.P(2), change(mldsa, attributes(decrypt))},
		{"a signing key that does nothing", tcg.TPMRCAttributes.P(2), change(mldsa, attributes(tcg.TPMAObjectSignEncrypt))},
		{"a KEM key for certificates", tcg.TPMRCAttributes.P(2), change(kem, attributes(tcg.TPMAObjectX509Sign))},
		{"a key that the caller gives", tcg.TPMRCAttributes.P(2), change(kem, attributes(tcg.TPMAObjectSensitiveDataOrigin))},
		{"a restricted key for an external mu", tcg.TPMRCAttributes.P(2), change(mldsa, func(p *tcg.TPMTPublic) {
			p.MLDSA.AllowExternalMu = true
			p.ObjectAttributes |= tcg.TPMAObjectRestricted
		})},
		{"a storage key without a cipher", tcg.TPMRCSymmetric.P(2), change(storage, func(p *tcg.TPMTPublic) { p.MLKEM.Symmetric = kem.MLKEM.Symmetric })},
		{"a KEM key with a cipher", tcg.TPMRCSymmetric.P(2), change(kem, func(p *tcg.TPMTPublic) { p.MLKEM.Symmetric = aes128 })},
		{"HashML-DSA of SHA-1", tcg.TPMRCHash.P(2), change(hashed, func(p *tcg.TPMTPublic) { p.MLDSA.HashAlg = tcg.TPMAlgSHA1 })},
		{"HashML-DSA of no hash", tcg.TPMRCHash.P(2), change(hashed, func(p *tcg.TPMTPublic) { p.MLDSA.HashAlg = tcg.TPMAlgNull })},
		{"DHKEM of another hash", tcg.TPMRCKDF.P(2), change(ecc, func(p *tcg.TPMTPublic) { p.ECC.KDF.HashAlg = tcg.TPMAlgSHA384 })},
		{"DHKEM on a curve without", tcg.TPMRCKDF.P(2), change(ecc, func(p *tcg.TPMTPublic) { p.ECC.CurveID = tcg.TPMECCNistP224 })},
		{"DHKEM without ECDH", tcg.TPMRCKDF.P(2), change(ecc, func(p *tcg.TPMTPublic) { p.ECC.Scheme = noAlg })},
		{"DHKEM by another KDF", tcg.TPMRCKDF.P(2), change(ecc, func(p *tcg.TPMTPublic) { p.ECC.KDF.Scheme = tcg.TPMAlgKDF2 })},
		{"DHKEM of a storage key", tcg.TPMRCKDF.P(2), change(tpmtest.ECC(tpmtest.Parent), func(p *tcg.TPMTPublic) { p.ECC.KDF = ecc.ECC.KDF })},
	} {
		r := tpm.Run(tcg.TPMCCCreatePrimary, handles{owner}, nil, none, c.p, nil, nil)
		if r.Code != c.rc {
			t.Errorf("%s: %v, want %v", c.what, r.Code, c.rc)
		}
		if r.Code == 0 {
			tpm.Flush(r.Handle)
		}
	}
}

// TestMLExternal loads keys that somebody else made: by seeds (Part 2, Table 239).
func TestMLExternal(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	source := postQuantum(t)
	for _, p := range append(mlkemSets(), mldsaSets()...) {
		o := source.Primary(owner, p, none)
		source.Flush(o.Handle)
		size := tcg.MLDSAPrivateSize
		if p.Type == tcg.TPMAlgMLKEM {
			size = tcg.MLKEMPrivateSize
		}
		public := o.Public
		public.ObjectAttributes &^= tcg.TPMAObjectSensitiveDataOrigin
		load := func(rc tcg.TPMRC, what string, p tcg.TPMTPublic, seed []byte) {
			t.Helper()
			var private any
			if seed != nil {
				private = tcg.TPMTSensitive{SensitiveType: p.Type, Sensitive: seed}
			}
			r := tpm.Run(tcg.TPMCCLoadExternal, nil, nil, private, p, null)
			if r.Code != rc {
				t.Errorf("%#x: %s: %v, want %v", p.Type, what, r.Code, rc)
			}
			if r.Code == 0 {
				tpm.Flush(r.Handle)
			}
		}
		load(0, "a public key", public, nil)
		load(tcg.TPMRCBinding.P(1), "another's seed", public, make([]byte, size))
		load(tcg.TPMRCSize.P(1), "a short seed", public, make([]byte, size-1))
		load(tcg.TPMRCSize.P(1), "a long seed", public, make([]byte, size+1))
		short := public
		short.UniqueML = short.UniqueML[1:]
		load(tcg.TPMRCKey.P(1), "a short public key", short, nil)
		if p.Type == tcg.TPMAlgMLKEM {
			wild := public
			wild.UniqueML = slices.Repeat([]byte{0xFF}, len(public.UniqueML))
			load(tcg.TPMRCKey.P(1), "a public key that is not reduced", wild, nil)
		}
	}
}

// TestMLPersistent: a long key counts for two persistent objects, is saved in a
// context and comes back by it, from the state and by a resume.
func TestMLPersistent(t *testing.T) {
	t.Parallel()
	tpm := postQuantum(t)
	key := tpm.Primary(owner, mlkemSets()[0], none) // whose secrets are wiped, unlike the library's
	r := tpm.Do(tcg.TPMCCEncapsulate, handles{key.Handle}, nil)
	secret, ciphertext := take(r), take(r)
	check := func(what string, h tcg.TPMHandle) {
		t.Helper()
		if got := take(tpm.Do(tcg.TPMCCDecapsulate, handles{h}, nil, ciphertext)); !bytes.Equal(got, secret) {
			t.Errorf("%s: another secret", what)
		}
	}
	const h = tcg.TPMHandle(0x81000100)
	tpm.Do(tcg.TPMCCEvictControl, handles{owner, key.Handle}, nil, h)
	check("before", key.Handle)
	saved := bytes.Clone(tpm.Do(tcg.TPMCCContextSave, handles{key.Handle}, nil).Params)
	if n := len(saved); n > 3072 {
		t.Errorf("a context of %d bytes", n)
	}
	tpm.Flush(key.Handle) // wipes its key, and not that of the persistent one
	check("persistent", h)
	check("from a context", tpm.Do(tcg.TPMCCContextLoad, nil, nil, tpmtest.Raw(saved)).Handle)
	tpm.Suspend()
	check("resumed", h)
	tpm.Reset()
	check("from the state", h)
	other := tpm.Primary(owner, tpmtest.MLDSA(0), none)
	n := 1
	for ; n < 64; n++ {
		if rc := tpm.Run(tcg.TPMCCEvictControl, handles{owner, other.Handle}, nil, h+tcg.TPMHandle(n)).Code; rc == tcg.TPMRCNVSpace {
			break
		} else if rc != 0 {
			t.Fatal(rc)
		}
	}
	if n != 32 {
		t.Errorf("%d long keys are persistent", n)
	}
}

// TestMLCapability: the properties and algorithms of a profile with the new keys,
// and none of them in one without.
func TestMLCapability(t *testing.T) {
	t.Parallel()
	get := func(tpm *tpmtest.TPM, c tcg.TPMCap, property, n uint32) []byte {
		return tpm.Do(tcg.TPMCCGetCapability, nil, nil, c, property, n).Params[9:]
	}
	tpm, plain := postQuantum(t), tpmtest.New(t)
	sets := uint32(tcg.TPMPTMLParameterSets)
	if got := get(tpm, tcg.TPMCapTPMProperties, sets, 1); !bytes.Equal(got, []byte{0, 0, 1, 0x31, 0, 0, 0, 0x5F}) {
		t.Errorf("TPM_PT_ML_PARAMETER_SETS: %x", got)
	}
	if got := get(plain, tcg.TPMCapTPMProperties, sets, 1); len(got) != 0 {
		t.Errorf("TPM_PT_ML_PARAMETER_SETS without: %x", got)
	}
	want := []byte{0, 0xA0, 0, 0, 2, 9, 0, 0xA1, 0, 0, 1, 9, 0, 0xA2, 0, 0, 1, 9}
	if got := get(tpm, tcg.TPMCapAlgs, 0xA0, 10); !bytes.Equal(got, want) {
		t.Errorf("algorithms %x", got)
	}
	if got := get(plain, tcg.TPMCapAlgs, 0xA0, 10); len(got) != 0 {
		t.Errorf("algorithms without %x", got)
	}
	plain.Want(tcg.TPMRCCommandCode, tcg.TPMCCEncapsulate, handles{null}, nil)
	plain.Want(tcg.TPMRCType.P(2), tcg.TPMCCCreatePrimary, handles{owner}, nil, none, tpmtest.MLKEM(decrypt), nil, nil)
	for _, p := range append(mlkemSets(), mldsaSets()...) {
		parms := tcg.TPMTPublicParms{Type: p.Type, MLDSA: p.MLDSA, MLKEM: p.MLKEM}
		tpm.Do(tcg.TPMCCTestParms, nil, nil, parms)
		plain.Want(tcg.TPMRCType.P(1), tcg.TPMCCTestParms, nil, nil, parms)
		parms.MLDSA.ParameterSet, parms.MLKEM.ParameterSet = 3, 9
		tpm.Want(tcg.TPMRCParms.P(1), tcg.TPMCCTestParms, nil, nil, parms)
	}
	tpm.Do(tcg.TPMCCSelfTest, nil, nil, true)
}

// TestNamedProfilesML: what the profiles by name with version 1.85's keys say they
// have works, and what they have not is refused where it is read.
func TestNamedProfilesML(t *testing.T) {
	t.Parallel()
	for name, classic := range map[string]bool{"default-v2": true, "post-quantum": false} {
		tpm := tpmtest.New(t, tpmtest.Profile("base = "+name))
		tpm.Do(tcg.TPMCCSelfTest, nil, nil, true)
		parent := tpm.Primary(owner, tpmtest.MLKEM(tpmtest.Parent|tpmtest.Fixed), none)
		s := tpm.StartSession(tpmtest.SessionParams{Salt: parent.Handle, Symmetric: tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}})
		s.Attributes |= tcg.TPMASessionEncrypt
		item := tpm.Create(parent.Handle, tpmtest.Sealed(), data("treasure"))
		if got := take(tpm.Do(tcg.TPMCCUnseal, handles{item.Handle}, auths{s})); string(got) != "treasure" {
			t.Errorf("%s: unsealed %q", name, got)
		}
		key := tpm.Create(parent.Handle, tpmtest.MLDSA(0), none)
		checkSignature(t, &key, "context", "message", signMessage(tpm, key.Handle, "context", "message"), nil)
		_, b, sig := attest(tpm, tpm.Do(tcg.TPMCCQuote, handles{key.Handle}, nil, "nonce", nil, bank(tcg.TPMAlgSHA384, 0, 7)))
		checkML(t, &key.Public, "", b, sig)
		for _, p := range []tcg.TPMTPublic{tpmtest.RSA(sign), tpmtest.ECC(sign)} {
			if rc := tpm.Run(tcg.TPMCCCreatePrimary, handles{null}, nil, none, p, nil, nil).Code; (rc == 0) != classic || rc != 0 && rc != tcg.TPMRCType.P(2) {
				t.Errorf("%s, type %#x: %v", name, p.Type, rc)
			}
		}
		if rc := tpm.Run(tcg.TPMCCECDHKeyGen, handles{key.Handle}, nil).Code; (rc != tcg.TPMRCCommandCode) != classic {
			t.Errorf("%s: TPM2_ECDH_KeyGen: %v", name, rc)
		}
		tpm.Suspend()
		tpm.Reset()
		if n := tpm.Do(tcg.TPMCCGetCapability, nil, nil, tcg.TPMCapTPMProperties, uint32(tcg.TPMPTTotalCommands), 1); n.Params[len(n.Params)-1] != map[bool]byte{true: 128, false: 117}[classic] {
			t.Errorf("%s: %d commands", name, n.Params[len(n.Params)-1])
		}
	}
}
