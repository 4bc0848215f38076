package command_test

import (
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// guarded makes sealed data whose wrong guesses are counted, and returns what
// a guess is answered.
func guarded(tpm *tpmtest.TPM) (guess func(value string) tcg.TPMRC) {
	public := tpmtest.Sealed()
	public.ObjectAttributes &^= tcg.TPMAObjectNoDA
	o := tpm.Primary(owner, public, tcg.TPMSSensitiveCreate{UserAuth: []byte("a"), Data: []byte("data")})
	return func(value string) tcg.TPMRC {
		return tpm.Run(tcg.TPMCCUnseal, handles{o.Handle}, auths{tpmtest.Password(value)}).Code
	}
}

// TestDictionaryAttack: so many failures as were set, and no more, until time, or
// the owner of lockoutAuth, forgives them (Part 3, section 25).
func TestDictionaryAttack(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	guess := guarded(tpm)
	tpm.Do(tcg.TPMCCDictionaryAttackParameters, handles{lockout}, nil, 2, 100, 0)
	want := func(rc tcg.TPMRC, value string) {
		t.Helper()
		if got := guess(value); got != rc {
			t.Errorf("%q: %v, not %v", value, got, rc)
		}
	}
	want(tcg.TPMRCAuthFail.S(1), "b")
	want(tcg.TPMRCSuccess, "a")
	want(tcg.TPMRCAuthFail.S(1), "c")
	want(tcg.TPMRCLockout, "a")
	if n := property(tpm, tcg.TPMPTLockoutCounter); n != 2 {
		t.Errorf("%d failures are counted", n)
	}
	tpm.Wait(100 * time.Second)
	want(tcg.TPMRCSuccess, "a")
	want(tcg.TPMRCAuthFail.S(1), "b")
	want(tcg.TPMRCLockout, "a")
	tpm.Do(tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, nil)
	if n := property(tpm, tcg.TPMPTLockoutCounter); n != 0 {
		t.Errorf("%d failures are counted after the reset", n)
	}
	want(tcg.TPMRCSuccess, "a")

	// Without a recovery time nothing is counted; without tries nothing is allowed.
	tpm.Do(tcg.TPMCCDictionaryAttackParameters, handles{lockout}, nil, 1, 0, 0)
	for range 3 {
		want(tcg.TPMRCAuthFail.S(1), "b")
	}
	want(tcg.TPMRCSuccess, "a")
	tpm.Do(tcg.TPMCCDictionaryAttackParameters, handles{lockout}, nil, 0, 1, 0)
	want(tcg.TPMRCLockout, "a")
}

// TestLockoutAuth: one failure, and lockoutAuth cannot be used before its own
// recovery time, or the next start if that is zero.
func TestLockoutAuth(t *testing.T) {
	t.Parallel()
	wrong := auths{tpmtest.Password("wrong")}
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCDictionaryAttackParameters, handles{lockout}, nil, 9, 9, 100)
	tpm.Want(tcg.TPMRCAuthFail.S(1), tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, wrong)
	tpm.Want(tcg.TPMRCLockout, tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, nil)
	tpm.Reset()
	tpm.Want(tcg.TPMRCLockout, tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, nil)
	tpm.Wait(100 * time.Second)
	tpm.Do(tcg.TPMCCDictionaryAttackParameters, handles{lockout}, nil, 9, 9, 0)
	tpm.Want(tcg.TPMRCAuthFail.S(1), tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, wrong)
	tpm.Wait(1000 * time.Hour)
	tpm.Want(tcg.TPMRCLockout, tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, nil)
	tpm.Reset()
	tpm.Do(tcg.TPMCCDictionaryAttackLockReset, handles{lockout}, nil)
}

func TestDictionaryAttackCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	reset, parameters := codesOf(t, tpm, tcg.TPMCCDictionaryAttackLockReset), codesOf(t, tpm, tcg.TPMCCDictionaryAttackParameters)
	reset.row(tcg.TPMRCValue.H(1), "by the platform", handles{platform})
	parameters.row(tcg.TPMRCValue.H(1), "by the platform", handles{platform}, 1, 1, 1)
	parameters.row(tcg.TPMRCInsufficient.P(3), "a parameter is cut", handles{lockout}, 1, 1, tpmtest.Raw{0})
}
