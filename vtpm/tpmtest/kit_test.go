package tpmtest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// TestSessions uses a session of each kind for a key, with each way of
// encryption. The kit checks the response's HMAC, and the result is that without
// a session.
func TestSessions(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	aes := tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}
	ciphers := []tcg.TPMTSymDef{
		{}, aes, {Algorithm: tcg.TPMAlgAES, KeyBits: 256, Mode: tcg.TPMAlgCFB},
		{Algorithm: tcg.TPMAlgXOR, XORHash: tcg.TPMAlgSHA256},
	}
	eccParent := tpm.Primary(tcg.TPMRHOwner, tpmtest.ECC(tpmtest.Parent), tcg.TPMSSensitiveCreate{})
	rsaParent := tpm.Primary(tcg.TPMRHOwner, tpmtest.RSA(tpmtest.Parent), tcg.TPMSSensitiveCreate{})
	auth := []byte("hunter2")
	key := tpm.Primary(tcg.TPMRHOwner, tpmtest.HMAC(0), tcg.TPMSSensitiveCreate{UserAuth: auth})
	mac := func(a tpmtest.Auth) string {
		r := tpm.Do(tcg.TPMCCHMAC, tpmtest.Handles{key.Handle}, tpmtest.Auths{a}, "data", nil)
		return string(r.Sized(64))
	}
	want := mac(tpmtest.Password(auth))
	for _, cipher := range ciphers {
		for _, hash := range []tcg.TPMAlgID{tcg.TPMAlgSHA256, tcg.TPMAlgSHA384} {
			for _, salt := range []tcg.TPMHandle{0, eccParent.Handle, rsaParent.Handle} {
				for _, bind := range []tcg.TPMHandle{0, key.Handle, eccParent.Handle} {
					p := tpmtest.SessionParams{Hash: hash, Symmetric: cipher, Salt: salt, Bind: bind}
					if bind == key.Handle {
						p.BindAuth = auth
					}
					s := tpm.StartSession(p)
					s.AuthValue = auth
					if cipher.Algorithm != 0 {
						s.Attributes |= tcg.TPMASessionDecrypt | tcg.TPMASessionEncrypt
					}
					s.Attributes |= tcg.TPMASessionAudit
					for range 2 {
						if got := mac(s); got != want {
							t.Fatalf("%+v: the MAC is %x, not %x", p, got, want)
						}
					}
					if s.Answered&tcg.TPMASessionAuditExclusive == 0 {
						t.Errorf("%+v: the session is not exclusive", p)
					}
					tpm.Flush(s.Handle)
				}
			}
		}
	}
}

// TestSecondSession has one session authorize and another encrypt, for which the
// first one vouches.
func TestSecondSession(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(tcg.TPMRHOwner, tpmtest.HMAC(0), tcg.TPMSSensitiveCreate{UserAuth: []byte("a")})
	first, second := tpm.StartSession(tpmtest.SessionParams{}), tpm.StartSession(tpmtest.SessionParams{
		Symmetric: tcg.TPMTSymDef{Algorithm: tcg.TPMAlgAES, KeyBits: 128, Mode: tcg.TPMAlgCFB}})
	third := tpm.StartSession(tpmtest.SessionParams{
		Symmetric: tcg.TPMTSymDef{Algorithm: tcg.TPMAlgXOR, XORHash: tcg.TPMAlgSHA256}})
	first.AuthValue = []byte("a")
	second.Attributes |= tcg.TPMASessionDecrypt
	third.Attributes |= tcg.TPMASessionEncrypt
	tpm.Do(tcg.TPMCCHMAC, tpmtest.Handles{key.Handle}, tpmtest.Auths{first, second, third}, "data", nil)
	tpm.Do(tcg.TPMCCHMAC, tpmtest.Handles{key.Handle}, tpmtest.Auths{first, third, second}, "data", nil)
}

// TestPolicySessions uses policies that want the value, its proof or neither.
func TestPolicySessions(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for _, commands := range [][]tcg.TPMCC{
		nil, {tcg.TPMCCPolicyAuthValue}, {tcg.TPMCCPolicyPassword},
		{tcg.TPMCCPolicyPassword, tcg.TPMCCPolicyAuthValue}, {tcg.TPMCCPolicyAuthValue, tcg.TPMCCPolicyPassword},
	} {
		trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial})
		for _, cc := range commands {
			tpm.Do(cc, tpmtest.Handles{trial.Handle}, nil)
		}
		r := tpm.Do(tcg.TPMCCPolicyGetDigest, tpmtest.Handles{trial.Handle}, nil)
		template := tpmtest.Sealed()
		template.AuthPolicy = bytes.Clone(r.Sized(64))
		item := tpm.Primary(tcg.TPMRHOwner, template, tcg.TPMSSensitiveCreate{UserAuth: []byte("a"), Data: []byte("data")})
		s := tpm.StartPolicy(commands...)
		s.AuthValue = []byte("a")
		r = tpm.Do(tcg.TPMCCUnseal, tpmtest.Handles{item.Handle}, tpmtest.Auths{s})
		if got := r.Sized(128); string(got) != "data" {
			t.Errorf("%v: unsealed %q", commands, got)
		}
		tpm.Flush(item.Handle, trial.Handle, s.Handle)
	}
}

// refused collects what a TB is told, and ends the function that failed.
type refused struct{ text string }

func (*refused) Helper() {}

func (r *refused) Fatalf(format string, args ...any) {
	r.text = fmt.Sprintf(format, args...)
	panic(r)
}

// TestKitRefuses: a test that goes wrong is told so.
func TestKitRefuses(t *testing.T) {
	t.Parallel()
	owner := tpmtest.Handles{tcg.TPMRHOwner}
	for _, c := range []struct {
		name, want string
		f          func(tpm *tpmtest.TPM)
	}{
		{"an error that is not expected", "TPM2_Unseal: TPM_RC_REFERENCE_H0 (0x910), not TPM_RC_SUCCESS (0x0)",
			func(tpm *tpmtest.TPM) { tpm.Do(tcg.TPMCCUnseal, tpmtest.Handles{0x80000000}, nil) }},
		{"a success that is not expected", "not TPM_RC_SIZE",
			func(tpm *tpmtest.TPM) { tpm.Want(tcg.TPMRCSize.P(1), tcg.TPMCCGetRandom, nil, nil, 1) }},
		{"no command", "no command", func(tpm *tpmtest.TPM) { tpm.Run(0x11E, nil, nil) }},
		{"too many parameters", "2 parameters, not 1", func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCGetRandom, nil, nil, 1, 2) }},
		{"too few parameters", "1 parameters, not 2",
			func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCNVDefineSpace, owner, nil, "") }},
		{"no parameters", "no parameters, not 1", func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCGetRandom, nil, nil) }},
		{"bytes for a number", "bytes are for a TPM2B", func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCGetRandom, nil, nil, "x") }},
		{"a structure for a number", "is no number",
			func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCGetRandom, nil, nil, tcg.TPMTHA{}) }},
		{"what has no wire form", "has no wire form",
			func(tpm *tpmtest.TPM) { tpm.Run(tcg.TPMCCStirRandom, nil, nil, struct{}{}) }},
		{"a state that does not load", "state is not usable", func(tpm *tpmtest.TPM) { tpmtest.Load(&refused{}, []byte{1}) }},
	} {
		tpm := tpmtest.New(&refused{})
		func() {
			defer func() {
				r, ok := recover().(*refused)
				if !ok || !strings.Contains(r.text, c.want) {
					t.Errorf("%s: %+v, not %q", c.name, r, c.want)
				}
			}()
			c.f(tpm)
		}()
	}
}
