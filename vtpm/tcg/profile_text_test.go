package tcg

import (
	"slices"
	"strings"
	"testing"
)

func TestNamedProfiles(t *testing.T) {
	t.Parallel()
	for _, name := range ProfileNames() {
		p := NamedProfile(name)
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text, _ := p.AppendText(nil)
		if q, err := ParseProfile(text); err != nil || *q != *p {
			t.Errorf("%s: its text is read as another: %v\n%s", name, err, text)
		}
		if q, err := ParseProfile([]byte("base = " + name)); err != nil || *q != *p {
			t.Errorf("%s as base: %v", name, err)
		}
	}
	if NamedProfile("other") != nil || *NamedProfile(ProfileNames()[0]) != *DefaultProfile() {
		t.Error("names")
	}
}

func TestParseProfile(t *testing.T) {
	t.Parallel()
	p, err := ParseProfile([]byte(`# small
base = pc-client

algorithms = -sha1, camellia, sha3-256,-ecmqv
  camellia=128,256
rsa = -1024, -4096
curves = -bn256
banks = sha256, sha3-256
commands = -TPM2_EncryptDecrypt, -Rewrap
`))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultProfile()
	want.SetAlg(TPMAlgSHA1, false)
	want.SetAlg(TPMAlgCamellia, true)
	want.SetAlg(TPMAlgSHA3256, true)
	want.SetAlg(TPMAlgECMQV, false)
	want.SetSymBits(TPMAlgCamellia, 128, true)
	want.SetSymBits(TPMAlgCamellia, 256, true)
	want.SetRSABits(1024, false)
	want.SetRSABits(4096, false)
	want.SetCurve(TPMECCBNP256, false)
	want.SetPCRBanks(TPMAlgSHA256, TPMAlgSHA3256)
	want.SetCommand(TPMCCEncryptDecrypt, false)
	want.SetCommand(TPMCCRewrap, false)
	if *p != *want {
		t.Errorf("another profile than was written")
	}
	if !slices.Equal(p.PCRBanks(), []TPMAlgID{TPMAlgSHA256, TPMAlgSHA3256}) {
		t.Errorf("banks %x", p.PCRBanks())
	}
}

// Each of these is refused, with a word on what is wrong.
func TestParseProfileRefuses(t *testing.T) {
	t.Parallel()
	const base = "base = pc-client\n"
	for text, want := range map[string]string{
		"": "sha256",
		base + "banks = sha384\nalgorithms = -sha1, -sha256, -sha512": "sha256",
		"base = other":                                          "base is one of",
		"base = full, sm":                                       "base is one of",
		base + base:                                             "twice",
		"rsa = 2048\n" + base:                                   "first line",
		base + "rsa":                                            "line 2",
		base + "rsa = ":                                         "missing",
		base + "rsa = 2048,":                                    "missing",
		base + "rsa = 2048\nrsa = 3072":                         "twice",
		base + "rsa = 2048, -2048":                              "twice",
		base + "rsa = 1536":                                     "1536",
		base + "rsa = 02048":                                    "02048",
		base + "tdes = 256":                                     "256",
		base + "sm4 = 256":                                      "256",
		base + "algorithms = md5":                               "md5",
		base + "algorithms = ML-DSA":                            "ML-DSA",
		base + "curves = p257":                                  "p257",
		base + "commands = TPM2_Halt":                           "TPM2_Halt",
		base + "banks = aes":                                    "aes",
		base + "banks = -sha1":                                  "-sha1",
		base + "banks = sha3-256":                               "well formed",
		base + "banks = sha256, sha256":                         "twice",
		base + "speed = 9":                                      "unknown key",
		base + "algorithms = -sha1":                             "well formed",
		base + "algorithms = camellia":                          "camellia",
		base + "camellia = 128":                                 "camellia",
		base + "algorithms = -rsa":                              "rsa",
		base + "algorithms = -ecc":                              "ecc",
		base + "algorithms = -cfb":                              "cfb",
		base + "algorithms = -hmac":                             "hmac",
		base + "commands = -Startup":                            "TPM2_Startup",
		base + "commands = -all":                                "TPM2_Startup",
		strings.Repeat("#", MaxProfileText+1):                   "longer",
		base + "banks = " + strings.Repeat("sha1,", 9) + "sha1": "more than",
	} {
		if _, err := ParseProfile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %v, want %q in it", text, err, want)
		}
	}
}

func FuzzProfileText(f *testing.F) {
	for _, name := range ProfileNames() {
		text, _ := NamedProfile(name).AppendText(nil)
		f.Add(text)
		f.Add([]byte("# x\nbase = " + name + "\nbanks = sha256\ncommands = all, -Clear\ncurves=-bn256\nrsa= -1024"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile(text)
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		again, _ := p.AppendText(nil)
		if q, err := ParseProfile(again); err != nil || *q != *p {
			t.Errorf("%q is read as another profile: %v", again, err)
		}
		// What is read is also what a state can hold.
		r := NewReader(Marshal(p), nil)
		var stored Profile
		if err := stored.Unmarshal(&r); err != nil || stored != *p {
			t.Errorf("stored: %v", err)
		}
	})
}
