package main

import (
	"bytes"
	"encoding/pem"
	"testing"
)

// TestCertificatesIn: a file gives its certificates in their order, and nothing if it
// holds anything else.
func TestCertificatesIn(t *testing.T) {
	block := func(kind, text string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(text)})
	}
	two := append(block("CERTIFICATE", "one"), block("CERTIFICATE", "two")...)
	if all, err := certificatesIn(two); err != nil || len(all) != 2 || string(all[0]) != "one" || string(all[1]) != "two" {
		t.Errorf("%q, %v", all, err)
	}
	for name, b := range map[string][]byte{"empty": nil, "not PEM": []byte("0\x82"), "a key": append(block("PRIVATE KEY", "k"), two...)} {
		if _, err := certificatesIn(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCertificatesIn(f *testing.F) {
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("one")}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := certificatesIn(b)
		if err == nil && len(all) == 0 {
			t.Fatal("neither a certificate nor an error")
		}
		var again []byte
		for _, c := range all {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
		}
		if err == nil {
			if same, err := certificatesIn(again); err != nil || !bytes.Equal(bytes.Join(all, []byte{0}), bytes.Join(same, []byte{0})) {
				t.Fatalf("%x became %x, %v", all, same, err)
			}
		}
	})
}
