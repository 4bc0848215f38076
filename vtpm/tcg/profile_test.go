package tcg

import (
	"bytes"
	"slices"
	"testing"
)

func TestDefaultProfile(t *testing.T) {
	t.Parallel()
	p := DefaultProfile()
	for _, c := range []struct {
		what string
		got  bool
		want bool
	}{
		{"SHA-256", p.HasAlg(TPMAlgSHA256), true},
		{"SM3", p.HasAlg(TPMAlgSM3256), false},
		{"ML-DSA", p.HasAlg(TPMAlgMLDSA), false},
		{"algorithm 0x123", p.HasAlg(0x123), false},
		{"algorithm 0", p.HasAlg(0), false},
		{"P-256", p.HasCurve(TPMECCNistP256), true},
		{"no curve", p.HasCurve(TPMECCNone), false},
		{"curve 0x1003", p.HasCurve(0x1003), false},
		{"RSA 2048", p.RSABits(2048), true},
		{"RSA 1024", p.RSABits(1024), true},
		{"RSA 512", p.RSABits(512), false},
		{"RSA 0", p.RSABits(0), false},
		{"AES 192", p.SymBits(TPMAlgAES, 192), true},
		{"AES 0", p.SymBits(TPMAlgAES, 0), false},
		{"Camellia 128", p.SymBits(TPMAlgCamellia, 128), false},
		{"RSA as cipher", p.SymBits(TPMAlgRSA, 128), false},
		{"Startup", p.HasCommand(TPMCCStartup), true},
		{"FirmwareRead", p.HasCommand(TPMCCFirmwareRead), false},
		{"unused code", p.HasCommand(0x123), false},
		{"code 0", p.HasCommand(0), false},
		{"nil knows SM4", (*Profile)(nil).SymBits(TPMAlgSM4, 128), true},
		{"nil knows no SM4 256", (*Profile)(nil).SymBits(TPMAlgSM4, 256), false},
		{"nil knows RSA 1024", (*Profile)(nil).RSABits(1024), true},
		{"nil knows no algorithm 0", (*Profile)(nil).HasAlg(0), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if n := p.HashCount(); n != 4 {
		t.Errorf("HashCount %d, want 4", n)
	}
	if b := p.PCRBanks(); !slices.Equal(b, []TPMAlgID{TPMAlgSHA1, TPMAlgSHA256, TPMAlgSHA384, TPMAlgSHA512}) {
		t.Errorf("banks %x", b)
	}
	p.SetSymBits(TPMAlgSM4, 256, true)
	p.SetAlg(0x77, true)
	p.SetCurve(0x77, true)
	p.SetCommand(0x123, true)
	if *p != *DefaultProfile() {
		t.Error("a profile took what does not exist")
	}
}

// A stored profile comes back the same, and a damaged one not at all.
func TestProfileStored(t *testing.T) {
	t.Parallel()
	p := DefaultProfile()
	p.SetAlg(TPMAlgSHA3256, true)
	p.SetPCRBanks(TPMAlgSHA3256, TPMAlgSHA256)
	p.SetRSABits(4096, false)
	wire := Marshal(p)
	var q Profile
	r := NewReader(wire, nil)
	if err := q.Unmarshal(&r); err != nil || r.Len() != 0 || q != *p {
		t.Fatalf("%v, %d bytes left", err, r.Len())
	}
	for n := range wire {
		r := NewReader(wire[:n], nil)
		if q.Unmarshal(&r) == nil {
			t.Errorf("%d of %d bytes accepted", n, len(wire))
		}
	}
	for _, at := range []int{0, 1, 40, len(wire) - 2*HashCount - 1, len(wire) - 2*HashCount, len(wire) - 1} {
		bad := bytes.Clone(wire)
		bad[at] ^= 0x40
		r := NewReader(bad, nil)
		if q.Unmarshal(&r) == nil {
			t.Errorf("change at byte %d accepted", at)
		}
	}
}

// TestProfileNVIndexSize: a larger NV index is in a second version of the stored
// form; without it the form is the first, which earlier programs read.
func TestProfileNVIndexSize(t *testing.T) {
	t.Parallel()
	p := DefaultProfile()
	plain := Marshal(p)
	for _, n := range []int{-1, 0, defaultNVIndexSize - 1, defaultNVIndexSize, MaxNVIndexSize + 1} {
		p.SetNVIndexSize(n)
		if p.NVIndexSize() != defaultNVIndexSize || !bytes.Equal(Marshal(p), plain) {
			t.Errorf("%d: indices of %d bytes", n, p.NVIndexSize())
		}
	}
	p.SetNVIndexSize(4096)
	wire := Marshal(p)
	var q Profile
	r := NewReader(wire, nil)
	if err := q.Unmarshal(&r); err != nil || r.Len() != 0 || q != *p || q.NVIndexSize() != 4096 {
		t.Fatalf("%v, indices of %d bytes", err, q.NVIndexSize())
	}
	for _, n := range []uint16{0, 1, defaultNVIndexSize, MaxNVIndexSize + 1, 0xFFFF} {
		bad := bytes.Clone(wire)
		bad[len(bad)-2], bad[len(bad)-1] = byte(n>>8), byte(n)
		r := NewReader(bad, nil)
		if q.Unmarshal(&r) == nil {
			t.Errorf("stored with %d: accepted", n)
		}
	}
	text, err := p.AppendText(nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseProfile(text); err != nil || *again != *p {
		t.Errorf("its text is read as another: %v", err)
	}
	for _, words := range []string{"2047", "16385", "04096", "4096, 2048", "-4096", "much"} {
		if _, err := ParseProfile([]byte("base = pc-client\nnv-index = " + words)); err == nil {
			t.Errorf("nv-index = %s: accepted", words)
		}
	}
}

func FuzzProfile(f *testing.F) {
	f.Add(Marshal(DefaultProfile()))
	large := DefaultProfile()
	large.SetNVIndexSize(4096)
	f.Add(Marshal(large))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var p Profile
		r := NewReader(wire, nil)
		if p.Unmarshal(&r) != nil {
			return
		}
		if got := Marshal(&p); !bytes.Equal(got, wire[:len(wire)-r.Len()]) {
			t.Errorf("read %x and wrote %x", wire, got)
		}
	})
}
