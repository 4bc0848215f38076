package camellia

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os/exec"
	"testing"
)

// RFC 3713, appendix A.
func TestVectors(t *testing.T) {
	const key = "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff"
	plain, _ := hex.DecodeString(key[:32])
	for n, want := range map[int]string{
		16: "67673138549669730857065648eabe43",
		24: "b4993401b3e996f84ee5cee7d79b09b9",
		32: "9acc237dff16d76c20ef7c919e3a7509",
	} {
		k, _ := hex.DecodeString(key[:2*n])
		c, err := New(k)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(plain)
		c.Encrypt(b, b)
		if hex.EncodeToString(b) != want {
			t.Errorf("%d: %x, want %s", n, b, want)
		}
		c.Decrypt(b, b)
		if !bytes.Equal(b, plain) || c.BlockSize() != BlockSize {
			t.Errorf("%d: decrypts to %x", n, b)
		}
	}
	var e KeySizeError
	if _, err := New(make([]byte, 20)); !errors.As(err, &e) || e != 20 || e.Error() == "" {
		t.Errorf("key of 20 bytes: %v", err)
	}
}

// The vectors do not reach every entry of the table; a long text does.
func TestOpenSSL(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl command to compare with")
	}
	key := bytes.Repeat([]byte{0x5a, 0xc3}, 16)
	plain := make([]byte, 1<<14)
	for i := range plain {
		plain[i] = byte(i * i >> 3)
	}
	for _, n := range []int{16, 24, 32} {
		cmd := exec.Command(path, "enc", map[int]string{16: "-camellia-128-ecb", 24: "-camellia-192-ecb", 32: "-camellia-256-ecb"}[n],
			"-nopad", "-K", hex.EncodeToString(key[:n]))
		cmd.Stdin = bytes.NewReader(plain)
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(key[:n])
		if err != nil {
			t.Fatal(err)
		}
		got, back := make([]byte, len(plain)), make([]byte, len(plain))
		for i := 0; i < len(plain); i += BlockSize {
			c.Encrypt(got[i:], plain[i:])
			c.Decrypt(back[i:], got[i:])
		}
		if !bytes.Equal(got, want) || !bytes.Equal(back, plain) {
			t.Errorf("key of %d bytes: differs from openssl", n)
		}
	}
}
