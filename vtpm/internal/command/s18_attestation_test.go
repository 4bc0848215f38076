package command_test

import (
	"bytes"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// An attestation is a command that signs a TPMS_ATTEST.
type attestation struct {
	cc                   tcg.TPMCC
	kind                 tcg.TPMST
	signHandle, inScheme int // numbers of the handle and of the parameter
	command              func(key tcg.TPMHandle, data, scheme any) (handles, []any)
}

// run sends the command.
func (a attestation) run(tpm *tpmtest.TPM, key tcg.TPMHandle, data, scheme any) *tpmtest.Response {
	h, params := a.command(key, data, scheme)
	return tpm.Do(a.cc, h, nil, params...)
}

// attestations are the commands of section 18 that sign a TPMS_ATTEST, each about
// something that is on the TPM.
func attestations(tpm *tpmtest.TPM) map[tcg.TPMCC]attestation {
	object := tpm.Primary(owner, storage(), none).Handle
	h, creationHash, ticket := creation(tpm, tpmtest.ECC(sign))
	audit := auditSession(tpm)
	admin := func(more ...tcg.TPMHandle) func(key tcg.TPMHandle, data, scheme any) (handles, []any) {
		return func(key tcg.TPMHandle, data, scheme any) (handles, []any) {
			return append(handles{endorsement, key}, more...), []any{data, scheme}
		}
	}
	all := map[tcg.TPMCC]attestation{}
	for _, a := range []attestation{
		{tcg.TPMCCCertify, tcg.TPMSTAttestCertify, 2, 2, func(key tcg.TPMHandle, data, scheme any) (handles, []any) {
			return handles{object, key}, []any{data, scheme}
		}},
		{tcg.TPMCCCertifyCreation, tcg.TPMSTAttestCreation, 1, 3, func(key tcg.TPMHandle, data, scheme any) (handles, []any) {
			return handles{key, h}, []any{data, creationHash, scheme, ticket}
		}},
		{tcg.TPMCCQuote, tcg.TPMSTAttestQuote, 1, 2, func(key tcg.TPMHandle, data, scheme any) (handles, []any) {
			return handles{key}, []any{data, scheme, bank(tcg.TPMAlgSHA256, 0, 7)}
		}},
		{tcg.TPMCCGetTime, tcg.TPMSTAttestTime, 2, 2, admin()},
		{tcg.TPMCCGetCommandAuditDigest, tcg.TPMSTAttestCommandAudit, 2, 2, admin()},
		{tcg.TPMCCGetSessionAuditDigest, tcg.TPMSTAttestSessionAudit, 2, 2, admin(audit.Handle)},
	} {
		all[a.cc] = a
	}
	return all
}

// creation makes a primary object, and returns what tells of its creation.
func creation(tpm *tpmtest.TPM, p tcg.TPMTPublic) (h tcg.TPMHandle, creationHash []byte, ticket tcg.TPMTTk) {
	r := tpm.Do(tcg.TPMCCCreatePrimary, handles{owner}, nil, none, p, "outside", nil)
	take(r)
	take(r)
	creationHash = take(r)
	ticket.UnmarshalCreation(&r.Reader)
	ticket.Digest = bytes.Clone(ticket.Digest)
	return r.Handle, creationHash, ticket
}

// attest takes a TPMS_ATTEST, its bytes and its signature.
func attest(tpm *tpmtest.TPM, r *tpmtest.Response) (a tcg.TPMSAttest, b []byte, s tcg.TPMTSignature) {
	b = take(r)
	profile := tpm.Profile()
	in := tcg.NewReader(b, &profile)
	a.Unmarshal(&in)
	return a, b, signature(r)
}

// qualifiedName asks for the qualified name of an object.
func qualifiedName(tpm *tpmtest.TPM, h tcg.TPMHandle) []byte {
	r := tpm.Do(tcg.TPMCCReadPublic, handles{h}, nil)
	take(r)
	take(r)
	return take(r)
}

// TestAttestations: each structure says what it is, and by whom; is signed; has the
// caller's data; and tells the counters of this TPM only if the key is one of the
// endorsement or platform hierarchy (Part 3, 18.1).
func TestAttestations(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Restart()
	p := tpmtest.ECC(sign | restricted | tpmtest.Fixed)
	p.ECC.Scheme = ecdsa
	var keys []tpmtest.Object
	for _, h := range []tcg.TPMHandle{owner, endorsement, platform} {
		keys = append(keys, tpm.Primary(h, p, none))
	}
	keys = append(keys, tpmtest.Object{Handle: null})
	clear := readClock(tpm).ClockInfo
	var version uint64
	for cc := range attestations(tpm.Fork()) {
		for i, key := range keys {
			f := tpm.Fork()
			a, b, s := attest(f, attestations(f)[cc].run(f, key.Handle, "data", nilOr(key.Handle == null && cc == tcg.TPMCCQuote, ecdsa)))
			if a.Magic != tcg.TPMGeneratedValue || a.Type != attestations(f.Fork())[cc].kind || string(a.ExtraData) != "data" {
				t.Errorf("%v: magic %#x, type %#x, extraData %q", cc, a.Magic, a.Type, a.ExtraData)
			}
			if key.Handle == null {
				if s.SigAlg != tcg.TPMAlgNull || !bytes.Equal(a.QualifiedSigner, []byte{0x40, 0, 0, 7}) {
					t.Errorf("%v: no key signed with %v, as %x", cc, s.SigAlg, a.QualifiedSigner)
				}
			} else if !good(&key.Public, hash(b), s) || !bytes.Equal(a.QualifiedSigner, qualifiedName(f, key.Handle)) {
				t.Errorf("%v: not signed by %x", cc, a.QualifiedSigner)
			}
			open := i == 1 || i == 2
			if open && version == 0 {
				version = a.FirmwareVersion
			}
			if same := a.ClockInfo == clear; same != open {
				t.Errorf("%v, key %d: %v, and TPM2_ReadClock has %v", cc, i, a.ClockInfo, clear)
			}
			if open && a.FirmwareVersion != version || !open && a.FirmwareVersion == version {
				t.Errorf("%v, key %d: firmware version %#x", cc, i, a.FirmwareVersion)
			}
			if a.ClockInfo.Clock != clear.Clock || a.ClockInfo.Safe != clear.Safe {
				t.Errorf("%v, key %d: clock %v, not %v", cc, i, a.ClockInfo, clear)
			}
		}
	}
}

// nilOr is v if yes, and nil otherwise.
func nilOr(yes bool, v any) any {
	if yes {
		return v
	}
	return nil
}

// attestRows are the rows that all attestations share (Part 3, 18.1).
func attestRows(c *codes) {
	c.t.Helper()
	a := attestations(c.tpm)[c.cc]
	sha384 := ecdsa
	sha384.HashAlg = tcg.TPMAlgSHA384
	own := tpmtest.ECC(sign)
	own.ECC.Scheme = ecdsa
	row := func(rc tcg.TPMRC, why string, key tcg.TPMHandle, scheme any) {
		c.t.Helper()
		h, params := a.command(key, "data", scheme)
		c.row(rc, why, h, params...)
		if key != null {
			c.tpm.Flush(key)
		}
	}
	made := func(p tcg.TPMTPublic) tcg.TPMHandle { return c.tpm.Primary(owner, p, none).Handle }
	row(tcg.TPMRCKey.H(a.signHandle), "a key that decrypts", made(tpmtest.ECC(decrypt)), ecdsa)
	row(tcg.TPMRCKey.H(a.signHandle), "a cipher's key", made(tpmtest.AES(sign)), ecdsa)
	row(tcg.TPMRCKey.H(a.signHandle), "a sequence", sequence(c.tpm), ecdsa)
	row(tcg.TPMRCScheme.P(a.inScheme), "no scheme at all", made(tpmtest.ECC(sign)), nil)
	row(tcg.TPMRCScheme.P(a.inScheme), "a scheme for RSA", made(tpmtest.ECC(sign)), rsassa)
	row(tcg.TPMRCScheme.P(a.inScheme), "a scheme that does not sign", made(tpmtest.ECC(sign)), oaep)
	row(tcg.TPMRCScheme.P(a.inScheme), "a scheme that does not sign, and no key", null, oaep)
	row(tcg.TPMRCScheme.P(a.inScheme), "another hash algorithm than the key's", made(own), sha384)
	row(tcg.TPMRCSuccess, "the key's own scheme", made(own), ecdsa)
	row(tcg.TPMRCSuccess, "a scheme, and no key", null, ecdsa)
	row(tcg.TPMRCSuccess, "an HMAC key", made(tpmtest.HMAC(0)), nil)
	h, params := a.command(null, make([]byte, 67), ecdsa)
	c.row(tcg.TPMRCSize.P(1), "data beyond a TPM2B_DATA", h, params...)
}

// TestCertify: the object's Name and qualified name are certified (Part 3, 18.2).
// A key that signs certificates only signs this, too (Part 2, 8.3.3.15).
func TestCertify(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	parent := tpm.Primary(owner, storage(), none)
	child := tpm.Create(parent.Handle, tpmtest.Sealed(), data("x"))
	key := tpm.Primary(endorsement, tpmtest.ECC(sign|tcg.TPMAObjectX509Sign), none)
	for _, o := range []tpmtest.Object{parent, child, key} {
		a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCCertify, handles{o.Handle, key.Handle}, nil, nil, ecdsa))
		if !bytes.Equal(a.Certify.Name, o.Name) || !bytes.Equal(a.Certify.QualifiedName, qualifiedName(tpm, o.Handle)) {
			t.Errorf("Name %x, qualified name %x", a.Certify.Name, a.Certify.QualifiedName)
		}
	}
}

func TestCertifyCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCertify)
	attestRows(c)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	row := func(rc tcg.TPMRC, why string, h tcg.TPMHandle) {
		t.Helper()
		c.row(rc, why, handles{h, key.Handle}, nil, ecdsa)
	}
	row(tcg.TPMRCType.H(1), "a sequence", sequence(tpm))
	row(tcg.TPMRCAuthUnavailable, "a public key", external(tpm, key.Public, nil))
	admin := tpmtest.ECC(sign)
	admin.ObjectAttributes |= tcg.TPMAObjectAdminWithPolicy
	row(tcg.TPMRCAuthType, "a password, where ADMIN needs a policy", tpm.Primary(owner, admin, none).Handle)
}

// TestCertifyCreation: the object's Name and the hash of its creation data are
// attested (Part 3, 18.3).
func TestCertifyCreation(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	h, creationHash, ticket := creation(tpm, tpmtest.ECC(sign))
	a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCCertifyCreation, handles{null, h}, nil, nil, creationHash, nil, ticket))
	if !bytes.Equal(a.Creation.ObjectName, tpm.Name(h)) || !bytes.Equal(a.Creation.CreationHash, creationHash) {
		t.Errorf("Name %x, creation hash %x", a.Creation.ObjectName, a.Creation.CreationHash)
	}
}

func TestCertifyCreationCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCCertifyCreation)
	attestRows(c)
	h, creationHash, ticket := creation(tpm, tpmtest.ECC(sign))
	row := func(rc tcg.TPMRC, why string, h tcg.TPMHandle, creationHash []byte, ticket any) {
		t.Helper()
		c.row(rc, why, handles{null, h}, nil, creationHash, nil, ticket)
	}
	const bad = tcg.TPMRCTicket
	row(bad.P(4), "no ticket", h, creationHash, nil)
	row(bad.P(4), "another creation", h, hash(creationHash), ticket)
	row(bad.P(4), "another object", tpm.Primary(owner, storage(), none).Handle, creationHash, ticket)
	row(bad.P(4), "a sequence", sequence(tpm), creationHash, ticket)
	spoiled := ticket
	spoiled.Hierarchy = endorsement
	row(bad.P(4), "a ticket said to be of another hierarchy", h, creationHash, spoiled)
	spoiled = ticket
	spoiled.Digest = ticket.Digest[:31]
	row(bad.P(4), "a ticket that is cut", h, creationHash, spoiled)
	spoiled.Tag = tcg.TPMSTHashCheck
	row(tcg.TPMRCTag.P(4), "a ticket of another kind", h, creationHash, spoiled)
	// The ticket's digest does not tell where the Name ends. With SHA-1 both together
	// are no longer than a digest may be.
	short := tpmtest.ECC(sign)
	short.NameAlg = tcg.TPMAlgSHA1
	named, shortHash, shortTicket := creation(tpm, short)
	p, s := outside(t, sign)
	p.NameAlg = tcg.TPMAlgNull
	row(bad.P(4), "an object without a Name, and one in front of the creation hash", external(tpm, p, &s),
		append(tpm.Name(named), shortHash...), shortTicket)
	row(tcg.TPMRCSuccess, "the object of that Name", named, shortHash, shortTicket)
	row(tcg.TPMRCSuccess, "the ticket", h, creationHash, ticket)
	o := tpm.Primary(platform, storage(), none)
	disable(tpm, owner)
	row(bad.P(4), "a ticket of a hierarchy that is disabled", o.Handle, creationHash, ticket)
}

// TestQuote: the digest is that of the PCRs that there are, with the hash algorithm
// of the scheme; pcrSelect tells which (Part 3, 18.4).
func TestQuote(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	tpm.Do(tcg.TPMCCPCREvent, handles{7}, nil, "event")
	sha384 := ecdsa
	sha384.HashAlg = tcg.TPMAlgSHA384
	values := append(one(tpm, tcg.TPMAlgSHA256, 0), one(tpm, tcg.TPMAlgSHA256, 7)...)
	for _, signer := range []tcg.TPMHandle{key.Handle, null} {
		for _, scheme := range []tcg.TPMTAsymScheme{ecdsa, sha384} {
			a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCQuote, handles{signer}, nil, nil, scheme, bank(tcg.TPMAlgSHA256, 7, 0)))
			if want := sum(scheme.HashAlg, values); !bytes.Equal(a.Quote.PCRDigest, want) {
				t.Errorf("signer %#x, %v: %x, not %x", signer, scheme.HashAlg, a.Quote.PCRDigest, want)
			}
			if s := a.Quote.PCRSelect.At(0); s.Hash != tcg.TPMAlgSHA256 || !s.Has(0) || s.Has(1) || !s.Has(7) {
				t.Errorf("pcrSelect is %v", a.Quote.PCRSelect)
			}
		}
	}
	// No PCR at all has the digest of nothing.
	a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCQuote, handles{key.Handle}, nil, nil, ecdsa, nil))
	if !bytes.Equal(a.Quote.PCRDigest, hash()) {
		t.Errorf("no PCR: %x", a.Quote.PCRDigest)
	}
}

func TestQuoteCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCQuote)
	attestRows(c)
	c.row(tcg.TPMRCScheme.P(2), "neither key nor scheme, so no hash algorithm", handles{null}, nil, nil, bank(tcg.TPMAlgSHA256, 0))
	c.row(tcg.TPMRCHash.P(3), "a bank of no hash algorithm", handles{null}, nil, ecdsa, bank(tcg.TPMAlgAES, 0))
}

// TestGetTime: the structure has the true counters beside those that a key of the
// owner hierarchy may not tell (Part 3, 18.7).
func TestGetTime(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	tpm.Reset()
	tpm.Wait(90e9)
	key := tpm.Primary(owner, tpmtest.ECC(sign), none)
	want := readClock(tpm)
	a, _, _ := attest(tpm, tpm.Do(tcg.TPMCCGetTime, handles{endorsement, key.Handle}, nil, nil, ecdsa))
	if a.Time.Time != want {
		t.Errorf("attested %v, and TPM2_ReadClock has %v", a.Time.Time, want)
	}
	if a.Time.Time.ClockInfo == a.ClockInfo || a.Time.FirmwareVersion == a.FirmwareVersion {
		t.Error("the counters are not obfuscated")
	}
	tpm.Wait(5e9)
	b, _, _ := attest(tpm, tpm.Do(tcg.TPMCCGetTime, handles{endorsement, key.Handle}, nil, nil, ecdsa))
	if got := b.Time.Time.ClockInfo.Clock - a.Time.Time.ClockInfo.Clock; got != 5000 {
		t.Errorf("5 s later the clock has advanced %d ms", got)
	}
}

func TestGetTimeCodes(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.New(t)
	c := codesOf(t, tpm, tcg.TPMCCGetTime)
	attestRows(c)
	c.row(tcg.TPMRCValue.H(1), "by the owner", handles{owner, null}, nil, nil)
	tpm.Do(tcg.TPMCCHierarchyChangeAuth, handles{endorsement}, nil, "a")
	c.by(tcg.TPMRCBadAuth.S(1), "a wrong password of the privacy administrator", handles{endorsement, null},
		auths{tpmtest.Password("b"), tpmtest.Password("")}, nil, nil)
}
