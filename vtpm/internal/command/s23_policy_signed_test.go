package command_test

import (
	"bytes"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// authority makes a key that signs by ECDSA with SHA-256.
func authority(tpm *tpmtest.TPM) tpmtest.Object {
	public := tpmtest.ECC(sign)
	public.ECC.Scheme = ecdsa
	return tpm.Primary(owner, public, none)
}

// signed is the key's TPMT_SIGNATURE over a digest.
func signed(tpm *tpmtest.TPM, key tcg.TPMHandle, digest []byte) tpmtest.Raw {
	return tpmtest.Raw(tpm.Do(tcg.TPMCCSign, handles{key}, nil, digest, nil, nil).Rest())
}

// policySigned returns the parameters of TPM2_PolicySigned, signed by the key.
func policySigned(tpm *tpmtest.TPM, key tcg.TPMHandle, nonce, cpHash, ref []byte, expiration int32) []any {
	aHash := hash(nonce, be(expiration), cpHash, ref) // Part 3, 23.3, equation 3
	return []any{nonce, cpHash, ref, uint32(expiration), signed(tpm, key, aHash)}
}

// updated is PolicyUpdate of Part 3, 23.2.3.
func updated(old []byte, cc tcg.TPMCC, name, ref []byte) []byte {
	return hash(hash(old, be(cc), name), ref)
}

// ticketOf returns timeout and policyTicket of a response.
func ticketOf(r *tpmtest.Response) (timeout []byte, ticket tpmtest.Raw) {
	timeout = take(r)
	return timeout, tpmtest.Raw(r.Rest())
}

// TestPolicySigned: what the authority signed is what is authorized, for this
// session, command and time (Part 3, 23.3).
func TestPolicySigned(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := authority(tpm)
	ref, adjust := []byte("ref"), hash(be(tcg.TPMCCClockRateAdjust, owner, uint8(0)))
	want := updated(zero, tcg.TPMCCPolicySigned, key.Name, ref)
	step := func(tpm *tpmtest.TPM, s *tpmtest.Session) {
		tpm.Do(tcg.TPMCCPolicySigned, handles{key.Handle, s.Handle}, nil, policySigned(tpm, key.Handle, s.NonceTPM, adjust, ref, 10)...)
	}
	s := ownerBy(tpm, step)
	if got := digest(tpm, s); !bytes.Equal(got, want) {
		t.Errorf("the digest is %x, not %x", got, want)
	}
	// Each of the qualifiers is signed.
	fresh := tpm.StartPolicy()
	for i, p := range [][]any{{"0123456789abcdef", adjust, ref, 10}, {fresh.NonceTPM, someHash, ref, 10},
		{fresh.NonceTPM, adjust, "fer", 10}, {fresh.NonceTPM, adjust, ref, 11}} {
		params := append(p, policySigned(tpm, key.Handle, fresh.NonceTPM, adjust, ref, 10)[4])
		if rc := tpm.Run(tcg.TPMCCPolicySigned, handles{key.Handle, fresh.Handle}, nil, params...).Code; rc == tcg.TPMRCSuccess {
			t.Errorf("with parameter %d changed the signature is taken", i+1)
		}
	}
	if got := digest(tpm, fresh); !bytes.Equal(got, zero) {
		t.Errorf("what failed changed the digest to %x", got)
	}
	f := tpm.Fork()
	f.Want(tcg.TPMRCPolicyFail.S(1), tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 1)
	f.Do(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
	step(tpm, fresh)
	tpm.Clock.Advance(11 * time.Second)
	tpm.Want(tcg.TPMRCExpired.S(1), tcg.TPMCCClockRateAdjust, handles{owner}, auths{fresh}, 0)
}

// TestPolicySecret: the secret is proven also in a trial, and no policy stands
// for it that does not ask for it (Part 3, 23.4).
func TestPolicySecret(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{endorsement}, nil, "secret")
	right := auths{tpmtest.Password("secret")}
	for _, s := range []*tpmtest.Session{tpm.StartPolicy(), tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial})} {
		tpm.Want(tcg.TPMRCBadAuth.S(1), tcg.TPMCCPolicySecret, handles{endorsement, s.Handle}, nil, nil, nil, "ref", 0)
		tpm.Do(tcg.TPMCCPolicySecret, handles{endorsement, s.Handle}, right, nil, nil, "ref", 0)
		want := updated(zero, tcg.TPMCCPolicySecret, be(endorsement), []byte("ref"))
		if got := digest(tpm, s); !bytes.Equal(got, want) {
			t.Errorf("the digest is %x, not %x", got, want)
		}
	}
}

// TestPolicyTime: without a nonce expiration is a value of Time, with one it
// counts from the session's start, and the earliest end counts (Part 3, 23.2).
func TestPolicyTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ends time.Duration // after the start of the TPM
		step func(tpm *tpmtest.TPM, s *tpmtest.Session) [][]any
	}{
		{"a value of Time", 300 * time.Second, func(tpm *tpmtest.TPM, s *tpmtest.Session) [][]any {
			return [][]any{{nil, nil, nil, 300}}
		}},
		{"from the start", 250 * time.Second, func(tpm *tpmtest.TPM, s *tpmtest.Session) [][]any {
			return [][]any{{s.NonceTPM, nil, nil, 150}}
		}},
		{"the earlier one", 250 * time.Second, func(tpm *tpmtest.TPM, s *tpmtest.Session) [][]any {
			return [][]any{{nil, nil, nil, 300}, {s.NonceTPM, nil, nil, 150}, {nil, nil, nil, 350}}
		}},
	} {
		tpm := tpmtest.New(t)
		p := func(tpm *tpmtest.TPM, s *tpmtest.Session) {
			for _, params := range c.step(tpm, s) {
				tpm.Do(tcg.TPMCCPolicySecret, handles{endorsement, s.Handle}, nil, params...)
			}
		}
		tpm.Do(tcg.TPMCCSetPrimaryPolicy, handles{owner}, nil, trial(tpm, p), tcg.TPMAlgSHA256)
		tpm.Clock.Advance(100 * time.Second)
		s := tpm.StartPolicy()
		tpm.Clock.Advance(100 * time.Second)
		p(tpm, s)
		tpm.Clock.Advance(c.ends - 200*time.Second)
		tpm.Fork().Do(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0)
		tpm.Clock.Advance(time.Millisecond)
		if rc := tpm.Run(tcg.TPMCCClockRateAdjust, handles{owner}, auths{s}, 0).Code; rc != tcg.TPMRCExpired.S(1) {
			t.Errorf("%s: after its end %v", c.name, rc)
		}
	}
}

// TestPolicyTicket: a ticket stands for the command that returned it, until it
// expires (Part 3, 23.5).
func TestPolicyTicket(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := authority(tpm)
	s := tpm.StartPolicy()
	timeout, ticket := ticketOf(tpm.Do(tcg.TPMCCPolicySigned, handles{key.Handle, s.Handle}, nil,
		policySigned(tpm, key.Handle, s.NonceTPM, someHash, []byte("ref"), -20)...))
	secret := tpm.StartPolicy()
	timeout2, ticket2 := ticketOf(tpm.Do(tcg.TPMCCPolicySecret, handles{owner, secret.Handle}, nil, secret.NonceTPM, nil, nil, -20&0xFFFFFFFF))
	params := [][]any{{timeout, someHash, "ref", key.Name, ticket}, {timeout2, nil, nil, be(owner), ticket2}}
	for i, from := range []*tpmtest.Session{s, secret} {
		with := tpm.StartPolicy()
		for j := range params[i] {
			bad := append([]any(nil), params[i]...)
			bad[j] = []any{make([]byte, 8), hash(someHash), "fer", someName, params[1-i][4]}[j]
			tpm.Want(tcg.TPMRCTicket.P(5), tcg.TPMCCPolicyTicket, handles{with.Handle}, nil, bad...)
		}
		tpm.Do(tcg.TPMCCPolicyTicket, handles{with.Handle}, nil, params[i]...)
		if got, want := digest(tpm, with), digest(tpm, from); !bytes.Equal(got, want) {
			t.Errorf("the digest is %x, and by the command itself %x", got, want)
		}
		for what, over := range map[string]struct {
			goes func(*tpmtest.TPM)
			rc   tcg.TPMRC
		}{
			"its time":              {func(f *tpmtest.TPM) { f.Clock.Advance(21 * time.Second) }, tcg.TPMRCExpired.P(1)},
			"a reset":               {(*tpmtest.TPM).Reset, tcg.TPMRCTicket.P(5)},
			"a resume":              {(*tpmtest.TPM).Resume, tcg.TPMRCTicket.P(5)},
			"TPM2_Clear":            {func(f *tpmtest.TPM) { f.Do(tcg.TPMCCClear, handles{platform}, nil) }, tcg.TPMRCTicket.P(5)},
			"TPM2_HierarchyControl": {func(f *tpmtest.TPM) { f.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false) }, tcg.TPMRCTicket.P(5)},
		} {
			f := tpm.Fork()
			over.goes(f)
			if rc := f.Run(tcg.TPMCCPolicyTicket, handles{f.StartPolicy().Handle}, nil, params[i]...).Code; rc != over.rc {
				t.Errorf("after %s: %v, not %v", what, rc, over.rc)
			}
		}
	}
}

// TestPolicyTicketOfPIN: a PIN Pass index, which counts uses, gives no ticket for
// further ones (Part 1, 34.2.8.3); others do.
func TestPolicyTicketOfPIN(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	for kind, given := range map[tcg.TPMNT]bool{tcg.TPMNTPinPass: false, tcg.TPMNTPinFail: true} {
		p := index(8, tcg.TPMANV(kind)<<4|tcg.TPMANVOwnerWrite|tcg.TPMANVOwnerRead|tcg.TPMANVAuthRead)
		p.NVIndex += tcg.TPMHandle(kind)
		x := define(tpm, owner, p)
		tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, be(uint32(0), uint32(5)), 0)
		r := tpm.Do(tcg.TPMCCPolicySecret, handles{x, tpm.StartPolicy().Handle}, nil, nil, nil, nil, -256&0xFFFFFFFF)
		if timeout, ticket := ticketOf(r); (len(timeout) != 0) != given || bytes.Equal(ticket, be(tcg.TPMSTAuthSecret, null, uint16(0))) == given {
			t.Errorf("index type %d: timeout %x, ticket %x", kind, timeout, ticket)
		}
		count := take(tpm.Do(tcg.TPMCCNVRead, handles{owner, x}, nil, 4, 0))
		if (count[3] == 1) == given {
			t.Errorf("index type %d: pinCount is %x", kind, count)
		}
	}
}

// approval is the ticket for a policy that the key approves.
func approval(tpm *tpmtest.TPM, key tcg.TPMHandle, approved, ref []byte) tpmtest.Raw {
	aHash := hash(approved, ref)
	return tpmtest.Raw(tpm.Do(tcg.TPMCCVerifySignature, handles{key}, nil, aHash, signed(tpm, key, aHash)).Rest())
}

// TestPolicyAuthorize: a policy that the key approves stands for every other one
// that it does (Part 3, 23.16).
func TestPolicyAuthorize(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key, ref := authority(tpm), []byte("ref")
	want := updated(zero, tcg.TPMCCPolicyAuthorize, key.Name, ref)
	for _, l := range []int{1, 2} {
		s := tpm.StartPolicy()
		step(tcg.TPMCCPolicyLocality, l)(tpm, s)
		approved := digest(tpm, s)
		tpm.Do(tcg.TPMCCPolicyAuthorize, handles{s.Handle}, nil, approved, ref, key.Name, approval(tpm, key.Handle, approved, ref))
		if got := digest(tpm, s); !bytes.Equal(got, want) {
			t.Errorf("the digest is %x, not %x", got, want)
		}
	}
	if got := trial(tpm, step(tcg.TPMCCPolicyAuthorize, someHash, ref, key.Name, nil)); !bytes.Equal(got, want) {
		t.Errorf("the trial's digest is %x, not %x", got, want)
	}
}

// policyIndex defines an index that holds a policy, with data behind it.
func policyIndex(tpm *tpmtest.TPM, policy []byte) tcg.TPMHandle {
	x := define(tpm, owner, index(40, tcg.TPMANVOwnerRead|tcg.TPMANVOwnerWrite|tcg.TPMANVReadSTClear))
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, be(tcg.TPMAlgSHA256, policy), 0)
	return x
}

// TestPolicyAuthorizeNV: the policy in the index is approved, until there is
// another (Part 3, 23.22).
func TestPolicyAuthorizeNV(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	locality := step(tcg.TPMCCPolicyLocality, 1)
	x := policyIndex(tpm, trial(tpm, locality))
	want := hash(zero, be(tcg.TPMCCPolicyAuthorizeNV), tpm.Name(x))
	s := tpm.StartPolicy()
	locality(tpm, s)
	tpm.Do(tcg.TPMCCPolicyAuthorizeNV, handles{owner, x, s.Handle}, nil)
	if got := digest(tpm, s); !bytes.Equal(got, want) {
		t.Errorf("the digest is %x, not %x", got, want)
	}
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, x}, nil, someHash, 2)
	tpm.Do(tcg.TPMCCPolicyRestart, handles{s.Handle}, nil)
	locality(tpm, s)
	tpm.Want(tcg.TPMRCValue, tcg.TPMCCPolicyAuthorizeNV, handles{owner, x, s.Handle}, nil)
	got := trial(tpm, func(tpm *tpmtest.TPM, s *tpmtest.Session) {
		tpm.Do(tcg.TPMCCPolicyAuthorizeNV, handles{owner, x, s.Handle}, nil)
	})
	if !bytes.Equal(got, want) {
		t.Errorf("the trial's digest is %x, not %x", got, want)
	}
}
