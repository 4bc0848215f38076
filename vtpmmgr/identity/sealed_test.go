package identity

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A recorder shows what goes over the bus.
type recorder struct {
	transport.TPM
	seen []byte
}

func (r *recorder) Send(b []byte) ([]byte, error) {
	answer, err := r.TPM.Send(b)
	r.seen = append(append(r.seen, b...), answer...)
	return answer, err
}

// TestSealed: the TPM gives a secret out to anyone who knows the authorization value, at the PCRs of
// the policy, and to nobody else; it is not in clear on the bus, and nothing stays loaded.
func TestSealed(t *testing.T) {
	t.Run("device", func(t *testing.T) { testSealed(t, newChip(t)) })
	t.Run("swtpm", func(t *testing.T) {
		bus := swtpm(t)
		startup(t, bus)
		testSealed(t, bus)
	})
}

func testSealed(t *testing.T, tpm transport.TPM) {
	bus := &recorder{TPM: tpm}
	policy, err := Present(bus, []uint{0, 7})
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Bus: bus, Policy: *policy, Auth: bytes.Repeat([]byte{3}, 32)}
	secret := []byte("a secret of thirty-two bytes....")
	sealed, err := h.Seal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // more than a TPM has room for
		got, err := h.Unseal(sealed)
		if err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if bytes.Contains(bus.seen, secret) || bytes.Contains(sealed, secret) {
		t.Error("the secret is in clear")
	}
	other := *h
	other.Auth = bytes.Repeat([]byte{4}, 32)
	if _, err := other.Unseal(sealed); !errors.Is(err, ErrWithheld) {
		t.Errorf("with another authorization value: %v", err)
	}
	for _, n := range []int{0, 1, len(sealed) - 1} {
		if _, err := h.Unseal(sealed[:n]); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	bad := bytes.Clone(sealed)
	bad[len(bad)-1] ^= 1
	if _, err := h.Unseal(bad); !errors.Is(err, ErrWithheld) {
		t.Errorf("changed: %v", err)
	}
	if _, err := (tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(7), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Unseal(sealed); !errors.Is(err, ErrWithheld) {
		t.Errorf("at other PCRs: %v", err)
	}
	if _, err := h.Seal(make([]byte, MaxSealed+1)); err == nil {
		t.Error("a secret that is too large")
	}
}
