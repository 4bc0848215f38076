package authenticode

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program returns an EFI program with one section.
func program(data string) []byte {
	const header, headers, size = 0x40, 512, 1024
	var b bytes.Buffer
	b.WriteString("MZ" + strings.Repeat("\x00", 0x3a))
	le := binary.LittleEndian
	binary.Write(&b, le, uint32(header))
	b.WriteString("PE\x00\x00")
	binary.Write(&b, le, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: 1, SizeOfOptionalHeader: 240})
	binary.Write(&b, le, pe.OptionalHeader64{Magic: 0x20b, SizeOfHeaders: headers, SizeOfImage: 1 << 17, SectionAlignment: 4096, FileAlignment: 512,
		Subsystem: pe.IMAGE_SUBSYSTEM_EFI_APPLICATION, NumberOfRvaAndSizes: 16})
	s := pe.SectionHeader32{VirtualSize: size, VirtualAddress: 1 << 16, SizeOfRawData: size, PointerToRawData: headers}
	copy(s.Name[:], ".text")
	binary.Write(&b, le, s)
	b.Write(make([]byte, headers-b.Len()))
	b.WriteString(data + strings.Repeat("\x00", size-len(data)))
	return b.Bytes()
}

// A signer is a key with its certificate.
type signer struct {
	dir              string
	certificate, key string // fingerprints
}

func run(t testing.TB, dir, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed (make deps)")
	}
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func newSigner(t testing.TB) signer {
	t.Helper()
	s := signer{dir: t.TempDir()}
	run(t, s.dir, "openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=lab", "-keyout", "key.pem", "-out", "cert.pem")
	print := func(text []byte) string {
		b, _ := pem.Decode(text)
		sum := sha256.Sum256(b.Bytes)
		return hex.EncodeToString(sum[:])
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.certificate, s.key = print(b), print(run(t, s.dir, "openssl", "x509", "-in", "cert.pem", "-noout", "-pubkey"))
	return s
}

// sign signs a program with sbsign.
func (s signer) sign(t testing.TB, file []byte) []byte {
	t.Helper()
	in, out := filepath.Join(s.dir, "in.efi"), filepath.Join(s.dir, "out.efi")
	if err := os.WriteFile(in, file, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, s.dir, "sbsign", "--key", "key.pem", "--cert", "cert.pem", "--output", out, in)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keys(t testing.TB, list string) Keys {
	t.Helper()
	k, err := ParseKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerify(t *testing.T) {
	t.Parallel()
	one, other := newSigner(t), newSigner(t)
	file := one.sign(t, program("code"))
	both := other.sign(t, file)
	for name, c := range map[string]struct {
		file []byte
		keys string
		ok   bool
	}{
		"certificate":       {file, one.certificate, true},
		"public key":        {file, other.key + "," + one.key, true},
		"other key":         {file, other.certificate, false},
		"unsigned":          {program("code"), one.certificate, false},
		"two, the first":    {both, one.key, true},
		"two, the second":   {both, other.key, true},
		"no program at all": {[]byte("#!/bin/sh"), one.key, false},
	} {
		who, err := keys(t, c.keys).Verify(c.file)
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrUnsigned) || c.ok && who != "CN=lab" {
			t.Errorf("%s: %q, %v", name, who, err)
		}
	}
	// The signature of another program.
	stranger := one.sign(t, program("other"))
	moved := append(bytes.Clone(program("code")), stranger[len(program("other")):]...)
	copy(moved[:512], stranger[:512])
	if _, err := keys(t, one.key).Verify(moved); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a signature of another program: %v", err)
	}
}

// TestChanged: no byte that is measured can be changed, and no change makes it panic.
func TestChanged(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	file := s.sign(t, program("code"))
	k := keys(t, s.key)
	for at := range len(program("")) {
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		_, err := k.Verify(bad)
		checkSum := at >= 0x40+24+64 && at < 0x40+24+68
		if (err == nil) != checkSum {
			t.Fatalf("byte %#x changed: %v", at, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		bad := bytes.Clone(file)
		for range 1 + random.IntN(5) {
			bad[random.IntN(len(bad)-1536)+1536] = byte(random.Uint32())
		}
		k.Verify(bad)
	}
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"", "00", "x", strings.Repeat("0", 63), strings.Repeat("0", 64) + ",", strings.Repeat("0", 66)} {
		if _, err := ParseKeys(list); !errors.Is(err, ErrKeys) {
			t.Errorf("%q: %v", list, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f)
	f.Add(s.sign(f, program("code")))
	k := keys(f, strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := k.VerifyFile(b); err == nil {
			t.Error("signed by a key that nobody has")
		}
	})
}
