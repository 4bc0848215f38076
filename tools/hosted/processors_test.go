package hosted

import (
	"slices"
	"testing"
)

// create is a TPM2_Create with an empty sensitive area and only the type of
// its template.
func create(typ byte) []byte {
	return []byte{0x80, 2, 0, 0, 0, 0, 0, 0, 1, 0x53, 0x80, 0, 0, 0, // header, handle
		0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, // password session
		0, 4, 0, 0, 0, 0, 0, 2, 0, typ}
}

func TestMakesRSA(t *testing.T) {
	rsa := create(1)
	bare := slices.Concat([]byte{0x80, 1}, rsa[2:14], rsa[27:])
	random := slices.Clone(rsa)
	random[9] = 0x7B
	for _, c := range []struct {
		name string
		cmd  []byte
		want bool
	}{
		{"RSA", rsa, true}, {"RSA without sessions", bare, true},
		{"ECC", create(0x23), false}, {"another command", random, false},
	} {
		if got := makesRSA(c.cmd); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func FuzzMakesRSA(f *testing.F) {
	for n := range create(1) {
		f.Add(create(1)[:n])
	}
	f.Add([]byte("\x80\x02\x00\x00\x00\x00\x00\x00\x01\x53\x80\x00\x00\x00\xff\xff\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, cmd []byte) { makesRSA(cmd) })
}
