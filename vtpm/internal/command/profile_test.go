package command

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// profiled makes a device with a profile, started, and its store.
func profiled(t *testing.T, text string) (rawTPM, *memStore) {
	t.Helper()
	p, err := tcg.ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := new(memStore)
	d, err := Manufacture(engine.Config{Store: s, Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	if r := d.Execute(0, startupClear); !ok(r) {
		t.Fatalf("TPM2_Startup: %x", r)
	}
	return rawTPM{t, d}, s
}

// shown returns the list of a capability, after its count.
func (x rawTPM) shown(c tcg.TPMCap, property, n uint32) tcg.Reader {
	x.t.Helper()
	r := x.want(0, tcg.TPMCCGetCapability, nil, func(w *tcg.Writer) {
		w.Uint32(uint32(c))
		w.Uint32(property)
		w.Uint32(n)
	})
	if r.Uint8() != 0 {
		x.t.Fatalf("capability %#x has more", c)
	}
	r.Uint32()
	return r
}

func (x rawTPM) algs() (algs []tcg.TPMAlgID) {
	r := x.shown(tcg.TPMCapAlgs, 0, 1000)
	for range r.Uint32() {
		algs = append(algs, tcg.TPMAlgID(r.Uint16()))
		r.Uint32()
	}
	return algs
}

// restrained is a profile that offers less than the default in each respect.
const restrained = `base = pc-client
algorithms = -sha1, -sha384, -sha512, -ecmqv, -ecdaa, -rsaes, -cbc, -xor, -kdf2, -cmac
curves = -p224, -p384, -p521, -bn256
rsa = -1024, -3072, -4096
aes = -192, -256
banks = sha256
commands = -EncryptDecrypt, -Rewrap
`

// TPM2_GetCapability shows the profile, also of a TPM that was loaded by
// somebody who asked for another.
func TestProfileShown(t *testing.T) {
	t.Parallel()
	x, s := profiled(t, restrained)
	show := func(x rawTPM) {
		t.Helper()
		algs := x.algs()
		for _, a := range []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA384, tcg.TPMAlgECMQV, tcg.TPMAlgRSAES, tcg.TPMAlgCBC, tcg.TPMAlgXOR, tcg.TPMAlgCamellia} {
			if slices.Contains(algs, a) {
				t.Errorf("algorithm %#x is shown", a)
			}
		}
		if !slices.Contains(algs, tcg.TPMAlgSHA256) || !slices.Contains(algs, tcg.TPMAlgECDSA) {
			t.Errorf("algorithms %x", algs)
		}
		r := x.shown(tcg.TPMCapECCCurves, 0, 100)
		if n, c := r.Uint32(), r.Uint16(); n != 1 || tcg.TPMECCCurve(c) != tcg.TPMECCNistP256 {
			t.Errorf("%d curves, the first %#x", n, c)
		}
		r = x.shown(tcg.TPMCapPCRs, 0, 1)
		if n, a := r.Uint32(), r.Uint16(); n != 1 || tcg.TPMAlgID(a) != tcg.TPMAlgSHA256 {
			t.Errorf("%d banks, the first of %#x", n, a)
		}
		r = x.shown(tcg.TPMCapCommands, 0, 1000)
		count := r.Uint32()
		for range count {
			if cc := tcg.TPMCC(r.Uint32() & 0xFFFF); cc == tcg.TPMCCEncryptDecrypt || cc == tcg.TPMCCRewrap {
				t.Errorf("%v is shown", cc)
			}
		}
		for p, want := range map[tcg.TPMPT]uint32{
			tcg.TPMPTMaxDigest: 32, tcg.TPMPTLoadedCurves: 1, tcg.TPMPTTotalCommands: count, tcg.TPMPTLibraryCommands: count,
		} {
			r := x.shown(tcg.TPMCapTPMProperties, uint32(p), 1000)
			if r.Uint32(); tcg.TPMPT(r.Uint32()) != p {
				t.Errorf("property %#x is missing", p)
			} else if v := r.Uint32(); v != want {
				t.Errorf("property %#x: %d, want %d", p, v, want)
			}
		}
	}
	show(x)
	d, err := Load(engine.Config{Store: s, Profile: tcg.NamedProfile("full")}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	show(rawTPM{t, d})
	if want := must1(tcg.ParseProfile([]byte(restrained))); d.CopyProfile() != want {
		t.Error("Profile tells another")
	}
}

// TestProfileRefused: neither Manufacture takes, nor Load, what is
// contradictory or not in this build.
func TestProfileRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *tcg.Profile){
		"no bank":   func(p *tcg.Profile) { p.SetPCRBanks() },
		"no CFB":    func(p *tcg.Profile) { p.SetAlg(tcg.TPMAlgCFB, false) },
		"ML-DSA":    func(p *tcg.Profile) { p.SetAlg(tcg.TPMAlgMLDSA, true) },
		"Curve448":  func(p *tcg.Profile) { p.SetCurve(tcg.TPMECCCurve448, true) },
		"BN-638":    func(p *tcg.Profile) { p.SetCurve(tcg.TPMECCBNP638, true) },
		"Brainpool": func(p *tcg.Profile) { p.SetCurve(tcg.TPMECCBrainpoolP256R1, true) },
	} {
		p := tcg.DefaultProfile()
		change(p)
		s := new(memStore)
		if _, err := Manufacture(engine.Config{Store: s, Profile: p}); err == nil || !strings.Contains(err.Error(), "profile") || s.saves != 0 {
			t.Errorf("%s: error %v, %d saves", name, err, s.saves)
		}
	}
	x, s := profiled(t, restrained)
	at := bytes.Index(s.state, tcg.Marshal(x.d.Profile))
	if at < 0 {
		t.Fatal("the state does not hold the profile")
	}
	p := *x.d.Profile
	p.SetCurve(tcg.TPMECCCurve448, true)
	state := bytes.Clone(s.state)
	copy(state[at:], tcg.Marshal(&p))
	if _, err := Load(engine.Config{Store: s}, state); !errors.Is(err, engine.ErrState) || !strings.Contains(err.Error(), "curve 0x0041") {
		t.Errorf("a state with a curve of a later version: %v", err)
	}
}

// TestProfileBounds: what the profile has not is refused by each command that
// could be asked for it, with the code and at the place that Part 3 and the
// interface types of Part 2 say, and what it has is not.
func TestProfileBounds(t *testing.T) {
	t.Parallel()
	small, _ := profiled(t, restrained)
	full, _ := profiled(t, "base = full")
	owner := []tcg.TPMHandle{tcg.TPMRHOwner}
	null := uint16(tcg.TPMAlgNull)
	public := func(typ tcg.TPMAlgID, nameAlg tcg.TPMAlgID, parms ...uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(parameters(func(w *tcg.Writer) { w.Sized(nil); w.Sized(nil) }))
			w.Sized(parameters(func(w *tcg.Writer) {
				w.Uint16(uint16(typ))
				w.Uint16(uint16(nameAlg))
				w.Uint32(uint32(tcg.TPMAObjectFixedTPM | tcg.TPMAObjectFixedParent | tcg.TPMAObjectSensitiveDataOrigin | tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectSignEncrypt))
				w.Sized(nil)
				for _, v := range parms {
					w.Uint16(v)
				}
				w.Sized(nil)
				if typ == tcg.TPMAlgECC {
					w.Sized(nil)
				}
			}))
			w.Sized(nil)
			w.Uint32(0)
		}
	}
	words := func(v ...uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			for _, v := range v {
				w.Uint16(v)
			}
		}
	}
	session := func(v ...uint16) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			w.Sized(make([]byte, 16))
			w.Sized(nil)
			w.Uint8(0)
			words(v...)(w)
		}
	}
	sha1, sha256 := uint16(tcg.TPMAlgSHA1), uint16(tcg.TPMAlgSHA256)
	nobody := []tcg.TPMHandle{tcg.TPMRHNull, tcg.TPMRHNull}
	for _, c := range []struct {
		name    string
		cc      tcg.TPMCC
		handles []tcg.TPMHandle
		params  func(w *tcg.Writer)
		want    tcg.TPMRC
	}{
		{"session hash", tcg.TPMCCStartAuthSession, nobody, session(null, sha1), tcg.TPMRCHash.P(5)},
		{"session cipher", tcg.TPMCCStartAuthSession, nobody, session(uint16(tcg.TPMAlgCamellia), 128, uint16(tcg.TPMAlgCFB), sha256), tcg.TPMRCSymmetric.P(4)},
		{"session AES-256", tcg.TPMCCStartAuthSession, nobody, session(uint16(tcg.TPMAlgAES), 256, uint16(tcg.TPMAlgCFB), sha256), tcg.TPMRCValue.P(4)},
		{"session XOR", tcg.TPMCCStartAuthSession, nobody, session(uint16(tcg.TPMAlgXOR), sha256, sha256), tcg.TPMRCSymmetric.P(4)},
		{"RSA 3072", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgRSA), null, null, 3072, 0, 0), tcg.TPMRCValue.P(1)},
		{"RSA 1024", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgRSA), null, null, 1024, 0, 0), tcg.TPMRCValue.P(1)},
		{"RSAES", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgRSA), null, uint16(tcg.TPMAlgRSAES), 2048, 0, 0), tcg.TPMRCValue.P(1)},
		{"scheme's hash", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgRSA), null, uint16(tcg.TPMAlgRSASSA), sha1, 2048, 0, 0), tcg.TPMRCHash.P(1)},
		{"curve", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgECC), null, null, uint16(tcg.TPMECCNistP384), null), tcg.TPMRCCurve.P(1)},
		{"BN-256", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgECC), null, null, uint16(tcg.TPMECCBNP256), null), tcg.TPMRCCurve.P(1)},
		{"ECDAA", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgECC), null, uint16(tcg.TPMAlgECDAA), sha256, 0, uint16(tcg.TPMECCNistP256), null), tcg.TPMRCScheme.P(1)},
		{"KDF2", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgECC), null, null, uint16(tcg.TPMECCNistP256), uint16(tcg.TPMAlgKDF2), sha256), tcg.TPMRCKDF.P(1)},
		{"AES-192", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgSymCipher), uint16(tcg.TPMAlgAES), 192, uint16(tcg.TPMAlgCFB)), tcg.TPMRCValue.P(1)},
		{"TDES", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgSymCipher), uint16(tcg.TPMAlgTDES), 128, uint16(tcg.TPMAlgCFB)), tcg.TPMRCSymmetric.P(1)},
		{"CBC", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgSymCipher), uint16(tcg.TPMAlgAES), 128, uint16(tcg.TPMAlgCBC)), tcg.TPMRCMode.P(1)},
		{"CMAC", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgSymCipher), uint16(tcg.TPMAlgAES), 128, uint16(tcg.TPMAlgCMAC)), tcg.TPMRCMode.P(1)},
		{"XOR", tcg.TPMCCTestParms, nil, words(uint16(tcg.TPMAlgKeyedHash), uint16(tcg.TPMAlgXOR), sha256, uint16(tcg.TPMAlgKDF1SP800108)), tcg.TPMRCValue.P(1)},
		{"nameAlg", tcg.TPMCCCreatePrimary, owner, public(tcg.TPMAlgECC, tcg.TPMAlgSHA1, null, null, uint16(tcg.TPMECCNistP256), null), tcg.TPMRCHash.P(2)},
		{"primary's curve", tcg.TPMCCCreatePrimary, owner, public(tcg.TPMAlgECC, tcg.TPMAlgSHA256, null, null, uint16(tcg.TPMECCNistP224), null), tcg.TPMRCCurve.P(2)},
		{"hash", tcg.TPMCCHash, nil, func(w *tcg.Writer) { w.Sized(nil); w.Uint16(sha1); w.Uint32(uint32(tcg.TPMRHNull)) }, tcg.TPMRCHash.P(2)},
		{"sequence", tcg.TPMCCHashSequenceStart, nil, func(w *tcg.Writer) { w.Sized(nil); w.Uint16(sha1) }, tcg.TPMRCHash.P(2)},
		{"curve's numbers", tcg.TPMCCECCParameters, nil, words(uint16(tcg.TPMECCNistP521)), tcg.TPMRCCurve.P(1)},
		{"ephemeral key", tcg.TPMCCECEphemeral, nil, words(uint16(tcg.TPMECCNistP384)), tcg.TPMRCCurve.P(1)},
		{"extend", tcg.TPMCCPCRExtend, []tcg.TPMHandle{16}, func(w *tcg.Writer) { w.Uint32(1); w.Uint16(sha1); w.Bytes(make([]byte, 20)) }, tcg.TPMRCHash.P(1)},
		{"PCR read", tcg.TPMCCPCRRead, nil, func(w *tcg.Writer) { w.Uint32(1); w.Uint16(sha1); w.Bytes([]byte{3, 1, 0, 0}) }, tcg.TPMRCHash.P(1)},
		{"PCR allocate", tcg.TPMCCPCRAllocate, []tcg.TPMHandle{tcg.TPMRHPlatform}, func(w *tcg.Writer) {
			w.Uint32(1)
			w.Uint16(sha1)
			w.Bytes([]byte{3, 255, 255, 255})
		}, tcg.TPMRCHash.P(1)},
		{"policy's hash", tcg.TPMCCSetPrimaryPolicy, owner, func(w *tcg.Writer) { w.Sized(make([]byte, 20)); w.Uint16(sha1) }, tcg.TPMRCHash.P(2)},
		{"audit's hash", tcg.TPMCCSetCommandCodeAuditStatus, owner, func(w *tcg.Writer) { w.Uint16(sha1); w.Uint32(0); w.Uint32(0) }, tcg.TPMRCHash.P(1)},
		{"index's nameAlg", tcg.TPMCCNVDefineSpace, owner, func(w *tcg.Writer) {
			w.Sized(nil)
			w.Sized(parameters(func(w *tcg.Writer) {
				w.Uint32(0x01800000)
				w.Uint16(sha1)
				w.Uint32(uint32(tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead))
				w.Sized(nil)
				w.Uint16(8)
			}))
		}, tcg.TPMRCHash.P(2)},
		{"command", tcg.TPMCCEncryptDecrypt, []tcg.TPMHandle{0x80000000}, nil, tcg.TPMRCCommandCode},
		{"command", tcg.TPMCCRewrap, []tcg.TPMHandle{tcg.TPMRHNull, tcg.TPMRHNull}, nil, tcg.TPMRCCommandCode},
	} {
		if rc, _, _ := small.send(c.cc, c.handles, c.params); rc != c.want {
			t.Errorf("%v, %s: %#x, want %#x", c.cc, c.name, uint32(rc), uint32(c.want))
		}
		if rc, _, _ := full.send(c.cc, c.handles, c.params); rc == c.want || rc != 0 && c.params != nil {
			t.Errorf("%v, %s, in full: %#x", c.cc, c.name, uint32(rc))
		}
		full.d.Init()
		full.d.Execute(0, startupClear)
	}
}

// TestProfileBoundsObjects is TestProfileBounds for commands with objects and
// sessions.
func TestProfileBoundsObjects(t *testing.T) {
	t.Parallel()
	small, _ := profiled(t, restrained)
	full, _ := profiled(t, "base = full")
	type world struct{ sign, exchange, storage, cipher, policy tcg.TPMHandle }
	// What a command needs, of what both TPMs have.
	prepare := func(x rawTPM, what string) (w world) {
		ecc := func(attrs tcg.TPMAObject, sym tcg.TPMTSymDefObject) tcg.TPMHandle {
			h, _, _ := x.eccKey(attrs, noScheme, sym)
			return h
		}
		switch what {
		case "sign":
			w.sign = ecc(tcg.TPMAObjectSignEncrypt, noSym)
		case "exchange":
			w.exchange = ecc(tcg.TPMAObjectDecrypt, noSym)
		case "storage":
			w.storage = ecc(tcg.TPMAObjectDecrypt|tcg.TPMAObjectRestricted, aes128CFB)
		case "cipher":
			w.cipher, _ = x.primary(tcg.TPMTPublic{Type: tcg.TPMAlgSymCipher, ObjectAttributes: tcg.TPMAObjectSignEncrypt,
				Sym: tcg.TPMTSymDefObject{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgNull}}, nil)
		case "policy":
			_, w.policy, _ = x.send(tcg.TPMCCStartAuthSession, handles(tcg.TPMRHNull, tcg.TPMRHNull), func(w *tcg.Writer) {
				w.Sized(bytes.Repeat([]byte{1}, 16))
				w.Sized(nil)
				w.Uint8(uint8(tcg.TPMSETrial))
				w.Uint16(uint16(tcg.TPMAlgNull))
				w.Uint16(uint16(tcg.TPMAlgSHA256))
			})
		}
		return w
	}
	sha1 := tcg.TPMAlgSHA1
	ticket := func(w *tcg.Writer) {
		w.Uint16(uint16(tcg.TPMSTHashCheck))
		w.Uint32(uint32(tcg.TPMRHNull))
		w.Sized(nil)
	}
	scheme := func(a ...tcg.TPMAlgID) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			for _, a := range a {
				w.Alg(a)
			}
		}
	}
	selection := func(w *tcg.Writer) { w.Uint32(1); w.Alg(sha1); w.Bytes([]byte{3, 1, 0, 0}) }
	sized := func(b ...byte) func(w *tcg.Writer) { return func(w *tcg.Writer) { w.Sized(b) } }
	public := func(name, keyScheme tcg.TPMAlgID, curve tcg.TPMECCCurve) func(w *tcg.Writer) {
		return func(w *tcg.Writer) {
			p := tcg.TPMTPublic{Type: tcg.TPMAlgECC, NameAlg: name, ObjectAttributes: tcg.TPMAObjectUserWithAuth | tcg.TPMAObjectSignEncrypt}
			p.ECC = tcg.TPMSECCParms{Symmetric: noSym, Scheme: tcg.TPMTAsymScheme{Scheme: keyScheme, HashAlg: tcg.TPMAlgSHA256}, CurveID: curve, KDF: noScheme}
			p.Marshal2B(w)
		}
	}
	digest := sized(bytes.Repeat([]byte{7}, 32)...)
	null := scheme(tcg.TPMAlgNull)
	for _, c := range []struct {
		name   string
		cc     tcg.TPMCC
		needs  string
		of     func(w world) []tcg.TPMHandle
		params []func(w *tcg.Writer)
		want   tcg.TPMRC
	}{
		{"hash", tcg.TPMCCSign, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign) },
			[]func(*tcg.Writer){digest, scheme(tcg.TPMAlgECDSA, sha1), ticket}, tcg.TPMRCHash.P(2)},
		{"scheme", tcg.TPMCCSign, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign) },
			[]func(*tcg.Writer){digest, scheme(tcg.TPMAlgECDAA, tcg.TPMAlgSHA256, 0), ticket}, tcg.TPMRCScheme.P(2)},
		{"hash", tcg.TPMCCVerifySignature, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign) },
			[]func(*tcg.Writer){digest, scheme(tcg.TPMAlgECDSA, sha1), sized(1), sized(1)}, tcg.TPMRCHash.P(2)},
		{"scheme's hash", tcg.TPMCCQuote, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign) },
			[]func(*tcg.Writer){sized(), scheme(tcg.TPMAlgECDSA, sha1), func(w *tcg.Writer) { w.Uint32(0) }}, tcg.TPMRCHash.P(2)},
		{"bank", tcg.TPMCCQuote, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign) },
			[]func(*tcg.Writer){sized(), null, selection}, tcg.TPMRCHash.P(3)},
		{"scheme", tcg.TPMCCCertify, "sign", func(w world) []tcg.TPMHandle { return handles(w.sign, w.sign) },
			[]func(*tcg.Writer){sized(), scheme(tcg.TPMAlgECDAA, tcg.TPMAlgSHA256, 0)}, tcg.TPMRCScheme.P(2)},
		{"exchange", tcg.TPMCCZGen2Phase, "exchange", func(w world) []tcg.TPMHandle { return handles(w.exchange) },
			[]func(*tcg.Writer){sized(0, 0, 0, 0), sized(0, 0, 0, 0), scheme(tcg.TPMAlgECMQV, 0)}, tcg.TPMRCScheme.P(3)},
		{"KDF", tcg.TPMCCECCEncrypt, "exchange", func(w world) []tcg.TPMHandle { return handles(w.exchange) },
			[]func(*tcg.Writer){sized(1), scheme(tcg.TPMAlgKDF2, tcg.TPMAlgSHA256)}, tcg.TPMRCKDF.P(2)},
		{"mode", tcg.TPMCCEncryptDecrypt2, "cipher", func(w world) []tcg.TPMHandle { return handles(w.cipher) },
			[]func(*tcg.Writer){digest, func(w *tcg.Writer) { w.YesNo(false) }, scheme(tcg.TPMAlgCBC), sized(bytes.Repeat([]byte{0}, 16)...)}, tcg.TPMRCMode.P(3)},
		{"curve", tcg.TPMCCCreate, "storage", func(w world) []tcg.TPMHandle { return handles(w.storage) },
			[]func(*tcg.Writer){sized(0, 0, 0, 0), public(tcg.TPMAlgSHA256, tcg.TPMAlgNull, tcg.TPMECCNistP384), sized(), func(w *tcg.Writer) { w.Uint32(0) }}, tcg.TPMRCCurve.P(2)},
		{"bank", tcg.TPMCCCreate, "storage", func(w world) []tcg.TPMHandle { return handles(w.storage) },
			[]func(*tcg.Writer){sized(0, 0, 0, 0), public(tcg.TPMAlgSHA256, tcg.TPMAlgNull, tcg.TPMECCNistP256), sized(), selection}, tcg.TPMRCHash.P(4)},
		{"name", tcg.TPMCCLoadExternal, "", func(w world) []tcg.TPMHandle { return nil },
			[]func(*tcg.Writer){sized(), public(sha1, tcg.TPMAlgNull, tcg.TPMECCNistP256), func(w *tcg.Writer) { w.Uint32(uint32(tcg.TPMRHNull)) }}, tcg.TPMRCHash.P(2)},
		{"curve", tcg.TPMCCLoadExternal, "", func(w world) []tcg.TPMHandle { return nil },
			[]func(*tcg.Writer){sized(), public(tcg.TPMAlgSHA256, tcg.TPMAlgNull, tcg.TPMECCBNP256), func(w *tcg.Writer) { w.Uint32(uint32(tcg.TPMRHNull)) }}, tcg.TPMRCCurve.P(2)},
		{"scheme", tcg.TPMCCLoadExternal, "", func(w world) []tcg.TPMHandle { return nil },
			[]func(*tcg.Writer){sized(), public(tcg.TPMAlgSHA256, tcg.TPMAlgECDAA, tcg.TPMECCNistP256), func(w *tcg.Writer) { w.Uint32(uint32(tcg.TPMRHNull)) }}, tcg.TPMRCScheme.P(2)},
		{"inner wrapper", tcg.TPMCCImport, "storage", func(w world) []tcg.TPMHandle { return handles(w.storage) },
			[]func(*tcg.Writer){sized(), public(tcg.TPMAlgSHA256, tcg.TPMAlgNull, tcg.TPMECCNistP256), sized(), sized(), scheme(tcg.TPMAlgAES, 256, tcg.TPMAlgCFB)}, tcg.TPMRCValue.P(5)},
		{"bank", tcg.TPMCCPolicyPCR, "policy", func(w world) []tcg.TPMHandle { return handles(w.policy) },
			[]func(*tcg.Writer){sized(), selection}, tcg.TPMRCHash.P(2)},
	} {
		params := func(w *tcg.Writer) {
			for _, f := range c.params {
				f(w)
			}
		}
		for _, x := range []rawTPM{small, full} {
			rc, _, _ := x.send(c.cc, c.of(prepare(x, c.needs)), params)
			if x == small && rc != c.want {
				t.Errorf("%v, %s: %#x, want %#x", c.cc, c.name, uint32(rc), uint32(c.want))
			}
			if x == full && rc == c.want {
				t.Errorf("%v, %s, in full: %#x too", c.cc, c.name, uint32(rc))
			}
			x.d.Init()
			x.d.Execute(0, startupClear)
		}
	}
}
