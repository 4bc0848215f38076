package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/mldsa"

	"stubtpm/tools/hosted/tpmproc"
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
		s := story185(d, nil, nil)
		steps := 0
		s.say = func(string, ...any) { steps++ }
		if err := s.run(); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		if !slices.Equal(s.sets, sets) {
			t.Errorf("%s: parameter sets %v", profile, s.sets)
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
	nonce := []byte("nonce")
	var out strings.Builder
	if err := onSocket(path, nonce, &out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 9 {
		t.Errorf("%d lines: %s", n, &out)
	}
	if err := onSocket(path+"x", nonce, &out); err == nil {
		t.Error("no socket, and no error")
	}
}

// TestQuote: another implementation verifies a quote, and not one with a changed byte.
func TestQuote(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"default-v2", "post-quantum"} {
		s := story185(device(t, profile), []int{2}, nil)
		q, err := s.quoted([]byte("nonce"))
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		if err := s.verify(2, q.key, q.attest, "", q.signature); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		q.attest[len(q.attest)-1] ^= 1
		if s.verify(2, q.key, q.attest, "", q.signature) == nil {
			t.Errorf("%s: a changed quote is verified", profile)
		}
	}
}

// A whole is a device that gives a response in one piece.
type whole struct{ response []byte }

func (w *whole) Write(b []byte) (int, error) { w.response = slices.Repeat(b, 400); return len(b), nil }

func (w *whole) Read(b []byte) (int, error) { return copy(b, w.response), nil }

// TestExchange: a response of 4,000 bytes is read at once.
func TestExchange(t *testing.T) {
	t.Parallel()
	if r, err := exchange(&whole{}, make([]byte, 10)); err != nil || len(r) != 4000 {
		t.Errorf("%d bytes, %v", len(r), err)
	}
}

// TestHosted runs the story with stubtpm as a process: with its buffer of 4,096 bytes,
// where ML-DSA-87 is refused by its name, and with one of 8,192, for which the client
// asks by the control channel.
func TestHosted(t *testing.T) {
	t.Parallel()
	program, err := tpmproc.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := tpmproc.Start(append(program, "--no-sync", "--profile", "name=default-v2"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	control := func(answer int, words ...uint32) []byte {
		t.Helper()
		c, err := net.Dial("unix", p.Control)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		r := make([]byte, answer)
		if _, err := io.ReadFull(c, r); err != nil || binary.BigEndian.Uint32(r) != 0 {
			t.Fatalf("control command 0x%X: %x, %v", words[0], r, err)
		}
		return r[4:]
	}
	for _, c := range []struct {
		buffer uint32
		sets   []int
	}{{4096, []int{1, 2}}, {8192, []int{1, 2, 3}}} {
		control(4, 0x0E) // CMD_STOP
		if r := control(16, 0x11, c.buffer); binary.BigEndian.Uint32(r) != c.buffer {
			t.Fatalf("CMD_SET_BUFFERSIZE %d: %x", c.buffer, r)
		}
		control(4, 0x02, 0) // CMD_INIT
		conn, err := net.Dial("unix", p.Data)
		if err != nil {
			t.Fatal(err)
		}
		send := func(cmd []byte) ([]byte, error) { return transact(conn, cmd) }
		if _, err := send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}); err != nil {
			t.Fatal(err)
		}
		s := &story{tpm: &tpm{send: send}, say: func(string, ...any) {}}
		others(s)
		if err := s.run(); err != nil {
			t.Errorf("%d bytes: %v", c.buffer, err)
		}
		if !slices.Equal(s.sets, c.sets) {
			t.Errorf("%d bytes: parameter sets %v", c.buffer, s.sets)
		}
		o, err := s.primary(public(algMLDSA, fixed|origin|ordinary|signs, mldsaParms(3, 0), nil))
		if small := c.buffer == 4096; errors.Is(err, code(0x2EA)) != small { // TPM_RC_PARMS, parameter 2
			t.Errorf("%d bytes: a key of ML-DSA-87: %v", c.buffer, err)
		} else if !small {
			s.flush(o.handle)
		}
		if _, err := send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x45, 0, 0}); err != nil {
			t.Fatal(err)
		}
		conn.Close()
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
		s.quoted([]byte{1})
	})
}
