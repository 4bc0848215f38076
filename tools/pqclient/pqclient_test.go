package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/mldsa"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

type forgetful struct{}

func (forgetful) Save([]byte) error { return nil }

// device is a TPM with a profile by name, started up.
func device(t *testing.T, profile string) *vtpm.Device {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: forgetful{}, Profile: tcg.NamedProfile(profile)})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0})
	return d
}

func params(set int) mldsa.Parameters {
	switch set {
	case 1:
		return mldsa.MLDSA44()
	case 2:
		return mldsa.MLDSA65()
	}
	return mldsa.MLDSA87()
}

// others are filippo.io/mldsa's verification and signatures.
func others(s *story) {
	s.verify = func(set int, publicKey, message []byte, context string, sig []byte) error {
		k, err := mldsa.NewPublicKey(params(set), publicKey)
		if err != nil {
			return err
		}
		return mldsa.Verify(k, message, sig, &mldsa.Options{Context: context})
	}
	s.sign = func(set int, message []byte, context string) (pub, sig []byte, err error) {
		k, err := mldsa.GenerateKey(params(set))
		if err != nil {
			return nil, nil, err
		}
		sig, err = k.Sign(rand.Reader, message, &mldsa.Options{Context: context})
		return k.PublicKey().Bytes(), sig, err
	}
}

// story185 is the client's story on a device, whose responses alter may change.
func story185(d *vtpm.Device, sets []int, alter func(command, response []byte) []byte) *story {
	s := &story{say: func(string, ...any) {}, sets: sets}
	s.tpm = &tpm{send: func(c []byte) ([]byte, error) {
		r := d.Execute(0, c)
		if alter != nil {
			r = alter(c, bytes.Clone(r))
		}
		return r, nil
	}}
	others(s)
	return s
}

// TestStory runs the client's story against the device, with another implementation's
// word on each signature, and sees that all that it loaded is gone.
func TestStory(t *testing.T) {
	t.Parallel()
	for profile, sets := range map[string][]int{"default-v2": {1, 2, 3}, "post-quantum": {2, 3}} {
		d := device(t, profile)
		d.SetBufferSize(vtpm.LargestBuffer) // for ML-DSA-87
		s := story185(d, sets, nil)
		steps := 0
		s.say = func(string, ...any) { steps++ }
		if err := s.run(); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		if steps != 6 {
			t.Errorf("%s: %d steps", profile, steps)
		}
		for _, kind := range []byte{0x80, 0x02} {
			r := d.Execute(0, []byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 1, kind, 0, 0, 0, 0, 0, 0, 9})
			if n := r[18]; n != 0 {
				t.Errorf("%s: %d handles of type 0x%X are left", profile, n, kind)
			}
		}
	}
}

// TestWrongDevice: the client finds a device that is wrong in what it checks.
func TestWrongDevice(t *testing.T) {
	t.Parallel()
	good := func(r []byte) bool { return binary.BigEndian.Uint32(r[6:]) == 0 }
	for _, cc := range []int{ccCreatePrimary, ccCreate, ccUnseal, ccActivateCredential, ccMakeCredential, ccEncapsulate, ccDecapsulate,
		ccSignSeqComplete, ccSignDigest, ccVerifyDigest, ccStartAuthSession} {
		d := device(t, "default-v2")
		altered := 0
		s := story185(d, []int{1}, func(c, r []byte) []byte {
			if int(binary.BigEndian.Uint32(c[6:])) == cc && good(r) && len(r) > 30 {
				altered++
				at := 26 // in the first parameter
				switch cc {
				case ccVerifyDigest:
					at = 11 // of the ticket's tag
				case ccCreatePrimary:
					at = 200
				case ccCreate:
					at = len(r) / 2
				}
				r[at] ^= 1
			}
			return r
		})
		if err := s.run(); err == nil || altered == 0 {
			t.Errorf("command 0x%X: %d responses altered, %v", cc, altered, err)
		}
	}
}

// TestSocket: the program's transport, with a TPM behind a socket.
func TestSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tpm")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := device(t, "default-v2")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for {
			head := make([]byte, 6)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			cmd := append(head, make([]byte, binary.BigEndian.Uint32(head[2:])-6)...)
			if _, err := io.ReadFull(c, cmd[6:]); err != nil {
				return
			}
			c.Write(d.Execute(0, cmd))
		}
	}()
	var out strings.Builder
	if err := run(path, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 6 {
		t.Errorf("%d lines: %s", n, &out)
	}
	if err := run(path+"x", &out); err == nil {
		t.Error("no socket, and no error")
	}
}

// TestTransact: a response that says that it is too long, or too short, is none.
func TestTransact(t *testing.T) {
	t.Parallel()
	for _, n := range []uint32{0, 9, maxResponse + 1, 0xFFFFFFFF} {
		r := binary.BigEndian.AppendUint32([]byte{0x80, 1}, n)
		c := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(append(r, 0, 0, 0, 0)), io.Discard}
		if _, err := transact(c, nil); err == nil {
			t.Errorf("a response of %d bytes is taken", n)
		}
	}
}

// FuzzResponse: whatever a TPM answers ends in an error or not at all, and not in a
// panic.
func FuzzResponse(f *testing.F) {
	f.Add([]byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0})
	f.Add([]byte{0x80, 2, 0, 0, 0, 20, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0})
	f.Fuzz(func(t *testing.T, r []byte) {
		s := story{tpm: &tpm{send: func([]byte) ([]byte, error) { return r, nil }}, say: func(string, ...any) {}}
		if err := s.run(); err == nil {
			t.Error("a TPM that always answers the same passes")
		}
		key := &object{unique: make([]byte, 1184)}
		s.sets = []int{1}
		s.credential(key)
		s.messages(key)
		s.digests(key)
		s.encapsulate(key)
	})
}
