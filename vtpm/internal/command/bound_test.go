package command

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// TestBoundLockout: a session that is bound to what dictionary attack protects
// is no way around that (Part 1, 16.8.7): once lockout is on, it tells nobody
// whether he guessed right.
func TestBoundLockout(t *testing.T) {
	t.Parallel()
	d, _, tpm := newTestDevice(t)
	if _, err := (tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHLockout, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("secret")}}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	// Guessing by the session's HMAC, for a command that lockout does not guard.
	guess := func(auth string) error {
		s, done, err := tpm2.HMACSession(tpm, tpm2.TPMAlgSHA256, 16, tpm2.Bound(tpm2.TPMRHLockout, tpm2.TPM2BName{Buffer: tcg.TPMRHLockout.Bytes()}, []byte(auth)))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		_, err = tpm2.PCRReset{PCRHandle: tpm2.AuthHandle{Handle: 16, Auth: s}}.Execute(tpm)
		return err
	}
	if err := guess("secret"); err != nil {
		t.Fatalf("the right value: %v", err)
	}
	if err := guess("wrong"); err == nil {
		t.Fatal("a wrong value is taken")
	}
	if d.Perm.DA.AuthEnabled {
		t.Error("the guess was not counted")
	}
	for _, v := range []string{"secret", "wrong"} {
		if err := guess(v); err == nil || err.Error() != tpm2.TPMRCLockout.Error() {
			t.Errorf("%s, in lockout: %v", v, err)
		}
	}
}

// TestBoundToAnother: a wrong HMAC for a PIN index is counted in the index also
// where the session is bound to something else, whose own count would otherwise
// give many more tries of the PIN than pinLimit.
func TestBoundToAnother(t *testing.T) {
	t.Parallel()
	for _, bind := range []tcg.TPMHandle{victimNV, tcg.TPMRHLockout} {
		d, _, _ := newTestDevice(t)
		g := guess{t, d}
		g.define(victimPIN, pinAttrs(tcg.TPMNTPinFail), nil, 3)
		g.define(victimNV, tcg.TPMANVAuthRead, nil, 0)
		g.setLockoutAuth()
		s := g.start(tcg.TPMSEHMAC, tcg.TPMRHNull, bind)
		if rc := g.session(tcg.TPMCCNVRead, handles(victimPIN, victimPIN), s, 0, "wrong", readAll); rc != tcg.TPMRCAuthFail.S(1) {
			t.Errorf("bound to %#x: %#x", bind, uint32(rc))
		}
		if n, _ := d.Perm.NV.Indices[victimPIN].PIN(); n != 1 {
			t.Errorf("bound to %#x: pinCount is %d", bind, n)
		}
		// What the session is bound to has its own count.
		if d.Perm.DA.FailedTries == 0 && d.Perm.DA.AuthEnabled {
			t.Errorf("bound to %#x: not counted there", bind)
		}
	}
}
