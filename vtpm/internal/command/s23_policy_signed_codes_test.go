package command_test

import (
	"slices"
	"testing"
	"time"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// authorizationRows are those that TPM2_PolicySigned and TPM2_PolicySecret share.
// last are the parameters after expiration.
func authorizationRows(c *codes, entity tcg.TPMHandle, last ...any) {
	c.t.Helper()
	c.tpm.Clock.Advance(100 * time.Second)
	s := c.tpm.StartPolicy()
	c.tpm.Clock.Advance(100 * time.Second)
	h := handles{entity, s.Handle}
	row := func(rc tcg.TPMRC, why string, nonce, cpHash []byte, expiration int) {
		c.t.Helper()
		c.row(rc, why, h, append([]any{nonce, cpHash, nil, expiration & 0xFFFFFFFF}, last...)...)
	}
	row(tcg.TPMRCValue.P(1), "another nonce", nonce, nil, 0)
	row(tcg.TPMRCSize.P(1), "a nonce longer than any", make([]byte, 65), nil, 0)
	row(tcg.TPMRCExpired.P(4), "a value of Time that has passed", nil, nil, 199)
	row(tcg.TPMRCExpired.P(4), "a time after the session's start that has passed", s.NonceTPM, nil, 99)
	row(tcg.TPMRCExpired.P(4), "the same, for a ticket", s.NonceTPM, nil, -99)
	row(tcg.TPMRCSize.P(2), "cpHashA is not of the session's algorithm", nil, someHash[1:], 0)
	step(tcg.TPMCCPolicyCpHash, hash(someHash))(c.tpm, s)
	row(tcg.TPMRCCPHash, "after TPM2_PolicyCpHash for another command", nil, someHash, 0)
	c.tpm.Do(tcg.TPMCCPolicyRestart, handles{s.Handle}, nil)
	step(tcg.TPMCCPolicyNameHash, someHash)(c.tpm, s)
	row(tcg.TPMRCCPHash, "after TPM2_PolicyNameHash", nil, someHash, 0)
	c.row(tcg.TPMRCValue.H(2), "not a policy session", handles{entity, c.tpm.StartSession(tpmtest.SessionParams{}).Handle},
		append([]any{nil, nil, nil, 0}, last...)...)
}

func TestPolicySignedCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicySigned)
	key := authority(tpm)
	sig := signed(tpm, key.Handle, someHash)
	authorizationRows(c, key.Handle, sig)
	s := tpm.StartPolicy().Handle
	with := func(rc tcg.TPMRC, why string, key tcg.TPMHandle, sig any) {
		t.Helper()
		c.row(rc, why, handles{key, s}, nil, nil, nil, 0, sig)
	}
	mac := tpm.Primary(owner, tpmtest.HMAC(0), none)
	macOf := be(tcg.TPMAlgHMAC, tcg.TPMAlgSHA256, someHash)
	with(tcg.TPMRCPolicyFail, "a signature of something else", key.Handle, sig)
	with(tcg.TPMRCPolicyFail, "an HMAC of something else", mac.Handle, tpmtest.Raw(macOf))
	with(tcg.TPMRCScheme.P(5), "another scheme", key.Handle, tpmtest.Raw(macOf))
	with(tcg.TPMRCScheme.P(5), "another hash", key.Handle, tpmtest.Raw(slices.Concat(be(tcg.TPMAlgECDSA, tcg.TPMAlgSHA384), sig[4:])))
	with(tcg.TPMRCScheme.P(5), "a sequence", sequence(tpm), sig)
	with(tcg.TPMRCScheme.P(5), "no signature", key.Handle, nil)
	with(tcg.TPMRCHandle.P(5), "a public HMAC key", external(tpm, mac.Public, nil), tpmtest.Raw(macOf))
	with(tcg.TPMRCSuccess, "by a public key", external(tpm, key.Public, nil), policySigned(tpm, key.Handle, nil, nil, nil, 0)[4])
	trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	c.row(tcg.TPMRCSuccess, "a trial checks nothing", handles{key.Handle, trial}, nonce, "any size", nil, 1, sig)
}

func TestPolicySecretCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicySecret)
	authorizationRows(c, owner)
	s := tpm.StartPolicy().Handle
	c.row(tcg.TPMRCSuccess, "", handles{owner, s}, nil, nil, nil, 0)
	c.row(tcg.TPMRCAuthUnavailable.S(1), "a public key", handles{external(tpm, authority(tpm).Public, nil), s}, nil, nil, nil, 0)
	code := ownerBy(tpm, step(tcg.TPMCCPolicyCommandCode, tcg.TPMCCPolicySecret))
	c.by(tcg.TPMRCMode.S(1), "a policy without the secret", handles{owner, s}, auths{code}, nil, nil, nil, 0)
	trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	c.row(tcg.TPMRCSuccess, "a trial checks nothing else", handles{owner, trial}, nonce, "any size", nil, 1)
}

func TestPolicyTicketCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyTicket)
	timeout, ticket := ticketOf(tpm.Do(tcg.TPMCCPolicySecret, handles{owner, tpm.StartPolicy().Handle}, nil, nil, someHash, nil, -100&0xFFFFFFFF))
	name := be(owner)
	s := tpm.StartPolicy()
	h := handles{s.Handle}
	trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	c.row(tcg.TPMRCAttributes.H(1), "a trial", handles{trial}, timeout, someHash, nil, name, ticket)
	c.row(tcg.TPMRCValue.H(1), "not a policy session", handles{tpm.StartSession(tpmtest.SessionParams{}).Handle}, timeout, someHash, nil, name, ticket)
	c.row(tcg.TPMRCSize.P(1), "timeout is cut", h, timeout[1:], someHash, nil, name, ticket)
	c.row(tcg.TPMRCSize.P(2), "cpHashA is cut", h, timeout, someHash[1:], nil, name, ticket)
	c.row(tcg.TPMRCTag.P(5), "a ticket of another kind", h, timeout, someHash, nil, name, tcg.NullTicket(tcg.TPMSTVerified))
	c.row(tcg.TPMRCTicket.P(5), "no ticket", h, timeout, someHash, nil, name, nil)
	step(tcg.TPMCCPolicyCpHash, hash(someHash))(tpm, s)
	c.row(tcg.TPMRCCPHash, "after TPM2_PolicyCpHash for another command", h, timeout, someHash, nil, name, ticket)
	tpm.Do(tcg.TPMCCPolicyRestart, h, nil)
	c.row(tcg.TPMRCSuccess, "a ticket", h, timeout, someHash, nil, name, ticket)
	tpm.Clock.Advance(101 * time.Second)
	c.row(tcg.TPMRCExpired.P(1), "its time has passed", h, timeout, someHash, nil, name, ticket)
}

func TestPolicyAuthorizeCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyAuthorize)
	key := authority(tpm)
	ticket := approval(tpm, key.Handle, zero, nil)
	h := bySession(c, someHash, nil, key.Name, nil)
	c.row(tcg.TPMRCHash.P(3), "a Name without a hash", h, zero, nil, be(tcg.TPMAlgNull), ticket)
	c.row(tcg.TPMRCHash.P(3), "a Name of a cipher", h, zero, nil, be(tcg.TPMAlgAES, someHash), ticket)
	c.row(tcg.TPMRCSize.P(3), "no Name", h, zero, nil, nil, ticket)
	c.row(tcg.TPMRCSize.P(3), "a Name that is cut", h, zero, nil, key.Name[:33], ticket)
	c.row(tcg.TPMRCTag.P(4), "a ticket of another kind", h, zero, nil, key.Name, tcg.NullTicket(tcg.TPMSTCreation))
	c.row(tcg.TPMRCValue.P(1), "not the session's digest", h, someHash, nil, key.Name, ticket)
	c.row(tcg.TPMRCPolicy, "another policyRef", h, zero, "ref", key.Name, ticket)
	c.row(tcg.TPMRCPolicy, "another key", h, zero, nil, someName, ticket)
	c.row(tcg.TPMRCPolicy, "no ticket", h, zero, nil, key.Name, nil)
	c.row(tcg.TPMRCSuccess, "the ticket", h, zero, nil, key.Name, ticket)
	tpm.Do(tcg.TPMCCHierarchyControl, handles{owner}, nil, owner, false)
	tpm.Do(tcg.TPMCCPolicyRestart, h, nil)
	c.row(tcg.TPMRCPolicy, "the hierarchy is disabled", h, zero, nil, key.Name, ticket)
}

func TestPolicyAuthorizeNVCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCPolicyAuthorizeNV)
	s := tpm.StartPolicy().Handle
	p := index(33, tcg.TPMANVOwnerRead|tcg.TPMANVOwnerWrite)
	small := handles{owner, define(tpm, owner, p), s}
	c.row(tcg.TPMRCNVUninitialized, "nothing is written", small)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, p.NVIndex}, nil, be(tcg.TPMAlgSHA256, zero[1:]), 0)
	c.row(tcg.TPMRCInsufficient, "one byte is missing", small)
	tpm.Do(tcg.TPMCCNVUndefineSpace, handles{owner, p.NVIndex}, nil)
	p.DataSize = 1
	define(tpm, owner, p)
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, p.NVIndex}, nil, "x", 0)
	c.row(tcg.TPMRCInsufficient, "no algorithm", small)
	tpm.Do(tcg.TPMCCNVUndefineSpace, handles{owner, p.NVIndex}, nil)

	h := handles{owner, policyIndex(tpm, someHash), s}
	c.row(tcg.TPMRCValue, "another policy", h)
	c.row(tcg.TPMRCNVAuthorization, "by the platform", handles{platform, h[1], s})
	for _, alg := range []tcg.TPMAlgID{tcg.TPMAlgSHA384, tcg.TPMAlgAES, tcg.TPMAlgNull} {
		tpm.Do(tcg.TPMCCNVWrite, handles{owner, h[1]}, nil, be(alg, zero), 0)
		c.row(tcg.TPMRCHash, "another algorithm", h)
	}
	tpm.Do(tcg.TPMCCNVWrite, handles{owner, h[1]}, nil, be(tcg.TPMAlgSHA256, zero), 0)
	c.row(tcg.TPMRCSuccess, "the session's policy", h)
	tpm.Do(tcg.TPMCCNVReadLock, handles{owner, h[1]}, nil)
	c.row(tcg.TPMRCNVLocked, "it is locked", h)
	trial := tpm.StartSession(tpmtest.SessionParams{Type: tcg.TPMSETrial}).Handle
	c.row(tcg.TPMRCSuccess, "it is locked, but this is a trial", handles{owner, h[1], trial})
}
