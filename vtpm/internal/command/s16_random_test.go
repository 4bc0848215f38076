package command_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestGetRandom: as many bytes as were asked for, and no more than the largest
// digest has (Part 3, 16.1). Two are not the same.
func TestGetRandom(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, n := range []int{0, 1, 32, 64, 65, 0xFFFF} {
		a, b := take(tpm.Do(tcg.TPMCCGetRandom, nil, nil, n)), take(tpm.Do(tcg.TPMCCGetRandom, nil, nil, n))
		if len(a) != min(n, 64) {
			t.Errorf("asked for %d: %d bytes", n, len(a))
		}
		if n >= 32 && bytes.Equal(a, b) {
			t.Errorf("twice %x", a)
		}
	}
}

func TestGetRandomCodes(t *testing.T) {
	t.Parallel()
	c := codesOf(t, tpmtest.New(t), tcg.TPMCCGetRandom)
	c.row(tcg.TPMRCInsufficient.P(1), "half a number", nil, tpmtest.Raw{0})
	c.row(tcg.TPMRCSize, "bytes after it", nil, tpmtest.Raw{0, 1, 0})
}

// A stirred source tells what it was stirred with, and may fail.
type stirred struct {
	io.Reader
	with []byte
	err  error
}

func (s *stirred) Stir(b []byte) error {
	s.with = append(s.with, b...)
	return s.err
}

// TestStirRandom: the data go to the source.
func TestStirRandom(t *testing.T) {
	t.Parallel()
	s := new(stirred)
	tpm := tpmtest.New(t, tpmtest.Seed(1), func(c *vtpm.Config) { s.Reader, c.Rand = c.Rand, s })
	tpm.Do(tcg.TPMCCStirRandom, nil, nil, "spoon")
	if string(s.with) != "spoon" {
		t.Errorf("stirred with %q", s.with)
	}
}

func TestStirRandomCodes(t *testing.T) {
	t.Parallel()
	s := &stirred{}
	tpm := tpmtest.New(t, tpmtest.Seed(1), func(c *vtpm.Config) { s.Reader, c.Rand = c.Rand, s })
	c := codesOf(t, tpm, tcg.TPMCCStirRandom)
	c.row(tcg.TPMRCSize.P(1), "129 bytes", nil, make([]byte, 129))
	c.row(tcg.TPMRCSuccess, "128 bytes", nil, make([]byte, 128))
	s.err = errors.New("no entropy")
	c.row(tcg.TPMRCFailure, "the source fails", nil, "spoon")
	tpm.Want(tcg.TPMRCFailure, tcg.TPMCCGetRandom, nil, nil, 1)
}
