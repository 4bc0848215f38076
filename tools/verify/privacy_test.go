package verify

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/evidence"
)

// hour is the unit in which a clock betrays its TPM: quotes of one moment have
// equal hours, and two TPMs rarely do.
const hour = 3_600_000

// used returns a vTPM that was started several times and whose clock shows hours.
func used(t *testing.T, starts int, hours uint64) *tpm {
	t.Helper()
	v := newTPM(t)
	for range starts {
		if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}).Execute(v); err != nil {
			t.Fatal(err)
		}
		v.d.Init()
		if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(v); err != nil {
			t.Fatal(err)
		}
	}
	// TPM2_ClockSet by the owner, whose authorization value is empty.
	set := []byte{0x80, 2, 0, 0, 0, 0x23, 0, 0, 1, 0x28, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}
	if rsp, err := v.Send(binary.BigEndian.AppendUint64(set, hours*hour)); err != nil || !bytes.Equal(rsp[6:10], make([]byte, 4)) {
		t.Fatalf("%v, %x", err, rsp)
	}
	return v
}

// newAK returns a new attestation key below a storage key of a hierarchy.
func (v *tpm) newAK(hierarchy tpm2.TPMHandle) *tpm2.CreatePrimaryResponse {
	v.t.Helper()
	parent, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	auth := tpm2.AuthHandle{Handle: parent.ObjectHandle, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)}
	made, err := tpm2.Create{ParentHandle: auth, InPublic: tpm2.New2B(akTemplate(tpm2.TPMAlgSHA256))}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	loaded, err := tpm2.Load{ParentHandle: auth, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(v)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: parent.ObjectHandle}).Execute(v); err != nil {
		v.t.Fatal(err)
	}
	return &tpm2.CreatePrimaryResponse{ObjectHandle: loaded.ObjectHandle, Name: loaded.Name, OutPublic: made.OutPublic}
}

// shown returns all that a key shows to a verifier: its public area, and a quote
// with it over the verifier's nonce.
func (v *tpm) shown(key *tpm2.CreatePrimaryResponse, nonce byte) map[string][]byte {
	v.t.Helper()
	q := v.quote(key, evidence.Hash{nonce})
	public, err := key.OutPublic.Contents()
	if err != nil {
		v.t.Fatal(err)
	}
	point, err1 := public.Unique.ECC()
	attest, err2 := tpm2.Unmarshal[tpm2.TPMSAttest](q.Attest)
	signature, err3 := tpm2.Unmarshal[tpm2.TPMTSignature](q.Signature)
	if err1 != nil || err2 != nil || err3 != nil {
		v.t.Fatal(err1, err2, err3)
	}
	info, err1 := attest.Attested.Quote()
	signed, err2 := signature.Signature.ECDSA()
	if err1 != nil || err2 != nil {
		v.t.Fatal(err1, err2)
	}
	template := *public
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, new(tpm2.TPMSECCPoint))
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	return map[string][]byte{
		"name": key.Name.Buffer, "x": point.X.Buffer, "y": point.Y.Buffer, "public area": tpm2.Marshal(template),
		"qualifiedSigner": attest.QualifiedSigner.Buffer, "extraData": attest.ExtraData.Buffer, "firmwareVersion": number(attest.FirmwareVersion),
		"clock": number(attest.ClockInfo.Clock / hour), "resetCount": number(uint64(attest.ClockInfo.ResetCount)),
		"restartCount": number(uint64(attest.ClockInfo.RestartCount)), "safe": tpm2.Marshal(attest.ClockInfo)[16:],
		"pcrSelect": tpm2.Marshal(info.PCRSelect), "pcrDigest": info.PCRDigest.Buffer,
		"r": signed.SignatureR.Buffer, "s": signed.SignatureS.Buffer,
	}
}

// linking returns the names of fields that a and b have in common, and that do not
// have the same value in what another vTPM shows.
func linking(a, b, other map[string][]byte) []string {
	var names []string
	for name, value := range a {
		if bytes.Equal(value, b[name]) && !bytes.Equal(value, other[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestUnlinkable: two attestation keys of one vTPM, without certificates, have no
// field by which a verifier finds that they are of one; but for the clock, which
// every TPM shows (Part 2, "TPMS_CLOCK_INFO"). Keys of the endorsement hierarchy
// show the counters, too: its keys are not private.
func TestUnlinkable(t *testing.T) {
	t.Parallel()
	v, other := used(t, 3, 1000), used(t, 5, 2000)
	for hierarchy, want := range map[tpm2.TPMHandle][]string{
		tpm2.TPMRHOwner:       {"clock"},
		tpm2.TPMRHEndorsement: {"clock", "resetCount"},
	} {
		show := func(v *tpm, nonce byte) map[string][]byte {
			key := v.newAK(hierarchy)
			defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(v)
			return v.shown(key, nonce)
		}
		a, b, c := show(v, 1), show(v, 2), show(other, 3)
		if got := linking(a, b, c); !slices.Equal(got, want) {
			t.Errorf("hierarchy %#x: keys of one vTPM have in common %v, want %v", uint32(hierarchy), got, want)
		}
		if hierarchy == tpm2.TPMRHOwner {
			for _, name := range []string{"firmwareVersion", "resetCount", "restartCount"} {
				if bytes.Equal(a[name], b[name]) {
					t.Errorf("%s is not obfuscated", name)
				}
			}
		}
		// One key is seen to be one.
		key := v.newAK(hierarchy)
		again := linking(v.shown(key, 4), v.shown(key, 5), c)
		for _, name := range []string{"name", "x", "y", "qualifiedSigner", "resetCount"} {
			if !slices.Contains(again, name) {
				t.Errorf("hierarchy %#x: one key, twice, has no %s in common", uint32(hierarchy), name)
			}
		}
		if _, err := (tpm2.FlushContext{FlushHandle: key.ObjectHandle}).Execute(v); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertifiedKeysLink: the certificates of two attestation keys say that they are
// of one vTPM by the claims, and by nothing else.
func TestCertifiedKeysLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	show := func(v *virtual) map[string][]byte {
		der, err := v.on.issuer.AK(v.newAK(tpm2.TPMRHOwner).OutPublic.Bytes(), &v.claims, days(30))
		c := parsed(t, der, err)
		fields := map[string][]byte{"serial number": c.SerialNumber.Bytes(), "subject": c.RawSubject, "key": c.RawSubjectPublicKeyInfo, "signature": c.Signature,
			"issuer": c.RawIssuer, "validity": []byte(c.NotBefore.String() + c.NotAfter.String())}
		for _, e := range c.Extensions {
			fields[e.Id.String()] = e.Value
		}
		return fields
	}
	got := linking(show(w.va), show(w.va), show(w.vb))
	if !slices.Equal(got, []string{extensionOf(parsed(t, w.va.cert, nil)).Id.String()}) {
		t.Errorf("certificates of keys of one vTPM have in common %v", got)
	}
	// On another host the issuer differs, too.
	if got := linking(show(w.va), show(w.va), show(w.other)); !slices.Contains(got, "issuer") {
		t.Errorf("certificates of keys of one host have in common %v", got)
	}
}
