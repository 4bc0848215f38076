package sm

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"os/exec"
	"testing"
)

// GB/T 32905-2016, annex A.
func TestSM3Vectors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		"abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd": "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		h := NewSM3()
		h.Write([]byte(in))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// GB/T 32907-2016, annex A.
func TestSM4Vectors(t *testing.T) {
	t.Parallel()
	key, _ := hex.DecodeString("0123456789abcdeffedcba9876543210")
	c, err := NewSM4(key)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(key)
	c.Encrypt(b, b)
	if got := hex.EncodeToString(b); got != "681edf34d206965e86b3e94f536e4246" {
		t.Errorf("once: %s", got)
	}
	c.Decrypt(b, b)
	if !bytes.Equal(b, key) {
		t.Errorf("back: %x", b)
	}
	if testing.Short() {
		return
	}
	for range 100000 { // the annex has a million; openssl has the rest
		c.Encrypt(b, b)
	}
	for range 100000 {
		c.Decrypt(b, b)
	}
	if !bytes.Equal(b, key) {
		t.Errorf("back again: %x", b)
	}
	for _, n := range []int{0, 15, 17, 32} {
		if _, err := NewSM4(make([]byte, n)); err == nil {
			t.Errorf("key of %d bytes accepted", n)
		}
	}
}

func openssl(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl command to compare with")
	}
	c := exec.Command(path, args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A long text reaches every value of the S-box in every place.
func TestSM4OpenSSL(t *testing.T) {
	t.Parallel()
	key := []byte("\x00\x11sixteen byte\xfe\xff")
	plain := make([]byte, 1<<15)
	for i := range plain {
		plain[i] = byte(i*i>>3 + i>>8)
	}
	want := openssl(t, plain, "enc", "-sm4-ecb", "-nopad", "-K", hex.EncodeToString(key))
	c, err := NewSM4(key)
	if err != nil {
		t.Fatal(err)
	}
	got, back := make([]byte, len(plain)), make([]byte, len(plain))
	for i := 0; i < len(plain); i += KeySize {
		c.Encrypt(got[i:], plain[i:])
		c.Decrypt(back[i:], got[i:])
	}
	if !bytes.Equal(got, want) {
		t.Error("openssl encrypts to something else")
	}
	if !bytes.Equal(back, plain) {
		t.Error("does not decrypt")
	}
}

// Every length about one and two blocks, in two pieces, saved between them.
func TestSM3OpenSSL(t *testing.T) {
	t.Parallel()
	in := bytes.Repeat([]byte("0123456789abcde"), 10)
	for n := range in {
		if n%7 > 1 && n%64 < 54 {
			continue
		}
		want := openssl(t, in[:n], "dgst", "-sm3", "-binary")
		a, b := NewSM3(), NewSM3()
		a.Write(in[:n/3])
		state, err := a.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		b.Write(in[n/3 : n])
		if got := b.Sum(nil); !bytes.Equal(got, want) || !bytes.Equal(b.Sum(nil), want) {
			t.Errorf("%d bytes: %x, openssl %x", n, got, want)
		}
		b.Reset()
		b.Write(in[:n])
		if got := b.Sum([]byte{1}); !bytes.Equal(got[1:], want) {
			t.Errorf("%d bytes after Reset: %x", n, got)
		}
	}
}

func FuzzSM3State(f *testing.F) {
	h := NewSM3()
	h.Write(make([]byte, 70))
	state, _ := h.(encoding.BinaryMarshaler).MarshalBinary()
	f.Add(state)
	f.Add(state[1:])
	f.Fuzz(func(t *testing.T, state []byte) {
		h := NewSM3()
		if h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state) != nil {
			return
		}
		h.Write(make([]byte, 100))
		if len(h.Sum(nil)) != Size {
			t.Error("no digest")
		}
	})
}

func BenchmarkSM4(b *testing.B) {
	c, _ := NewSM4(make([]byte, KeySize))
	buf := make([]byte, KeySize)
	b.SetBytes(KeySize)
	for b.Loop() {
		c.Encrypt(buf, buf)
	}
}
