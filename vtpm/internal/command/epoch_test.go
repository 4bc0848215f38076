package command

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// TestEpoch has a guest do what it can against the index that shows restores,
// and then a verifier look at it.
func TestEpoch(t *testing.T) {
	t.Parallel()
	store := &keep{}
	const handle = tpm2.TPMHandle(engine.EpochIndex)
	start := func(d *engine.Device, err error) transport.TPM {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		tpm := client{d}
		if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
		return tpm
	}
	auth := func(h tpm2.TPMHandle) tpm2.AuthHandle {
		return tpm2.AuthHandle{Handle: h, Auth: tpm2.PasswordAuth(nil)}
	}
	look := func(tpm transport.TPM) []byte {
		t.Helper()
		public, err := tpm2.NVReadPublic{NVIndex: handle}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		ak, err := tpm2.CreatePrimary{PrimaryHandle: auth(tpm2.TPMRHEndorsement), InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true},
			Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
				Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
				CurveID: tpm2.TPMECCNistP256,
			}),
		})}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		defer tpm2.FlushContext{FlushHandle: ak.ObjectHandle}.Execute(tpm)
		index := tpm2.NamedHandle{Handle: handle, Name: public.NVName}
		r, err := tpm2.NVCertify{
			SignHandle: tpm2.AuthHandle{Handle: ak.ObjectHandle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
			AuthHandle: tpm2.AuthHandle{Handle: handle, Name: public.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    index, Size: 8,
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		attest, err := r.CertifyInfo.Contents()
		if err != nil {
			t.Fatal(err)
		}
		nv, err := attest.Attested.NV()
		if err != nil {
			t.Fatal(err)
		}
		return nv.NVContents.Buffer
	}

	tpm := start(Manufacture(engine.Config{Store: store, Epoch: &engine.Epoch{Ledger: 1}}))
	if got := look(tpm); !bytes.Equal(got, []byte{0, 0, 0, 1, 0, 0, 0, 0}) {
		t.Fatalf("new: %x", got)
	}
	tpm = start(Load(engine.Config{Store: store, Epoch: &engine.Epoch{Ledger: 7, Restores: 2}}, store.state))
	want := []byte{0, 0, 0, 7, 0, 0, 0, 2}
	if got := look(tpm); !bytes.Equal(got, want) {
		t.Fatalf("restored: %x", got)
	}
	public, err := tpm2.NVReadPublic{NVIndex: handle}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	index := tpm2.NamedHandle{Handle: handle, Name: public.NVName}
	self := tpm2.AuthHandle{Handle: handle, Name: public.NVName, Auth: tpm2.PasswordAuth(nil)}
	empty := self
	empty.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(transport.TPM, tpm2.TPMISHPolicy, tpm2.TPM2BNonce) error { return nil })
	coded := self
	coded.Auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(tpm transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicyCommandCode{PolicySession: s, Code: tpm2.TPMCCNVUndefineSpaceSpecial}.Execute(tpm)
		return err
	})
	data := tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, 8)}
	for name, attack := range map[string]func() error{
		"write by itself": func() error {
			_, err := tpm2.NVWrite{AuthHandle: self, NVIndex: index, Data: data}.Execute(tpm)
			return err
		},
		"write by a policy": func() error {
			_, err := tpm2.NVWrite{AuthHandle: empty, NVIndex: index, Data: data}.Execute(tpm)
			return err
		},
		"write by the owner": func() error {
			_, err := tpm2.NVWrite{AuthHandle: auth(tpm2.TPMRHOwner), NVIndex: index, Data: data}.Execute(tpm)
			return err
		},
		"write by platform": func() error {
			_, err := tpm2.NVWrite{AuthHandle: auth(tpm2.TPMRHPlatform), NVIndex: index, Data: data}.Execute(tpm)
			return err
		},
		"delete by the owner": func() error {
			_, err := tpm2.NVUndefineSpace{AuthHandle: auth(tpm2.TPMRHOwner), NVIndex: index}.Execute(tpm)
			return err
		},
		"delete by platform": func() error {
			_, err := tpm2.NVUndefineSpace{AuthHandle: auth(tpm2.TPMRHPlatform), NVIndex: index}.Execute(tpm)
			return err
		},
		"special": func() error {
			_, err := tpm2.NVUndefineSpaceSpecial{NVIndex: empty, Platform: auth(tpm2.TPMRHPlatform)}.Execute(tpm)
			return err
		},
		"special, with a code": func() error {
			_, err := tpm2.NVUndefineSpaceSpecial{NVIndex: coded, Platform: auth(tpm2.TPMRHPlatform)}.Execute(tpm)
			return err
		},
		"lock": func() error { _, err := tpm2.NVReadLock{AuthHandle: self, NVIndex: index}.Execute(tpm); return err },
	} {
		var rc tpm2.TPMRC
		if err := attack(); err == nil || !errors.As(err, &rc) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (tpm2.Clear{AuthHandle: auth(tpm2.TPMRHLockout)}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	changeEPS := []byte{0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x24, 0x40, 0, 0, 0x0C, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}
	if r, err := tpm.Send(changeEPS); err != nil || !bytes.Equal(r[6:10], make([]byte, 4)) {
		t.Fatalf("%x, %v", r, err)
	}
	if got := look(tpm); !bytes.Equal(got, want) {
		t.Errorf("after all that: %x", got)
	}
}

// TestNoEpoch: without an Epoch there is no such index, whatever a guest or a
// state from elsewhere says.
func TestNoEpoch(t *testing.T) {
	t.Parallel()
	s := new(memStore)
	d, err := Manufacture(engine.Config{Store: s, Epoch: &engine.Epoch{Ledger: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	define := func(x rawTPM, by tcg.TPMHandle, rc tcg.TPMRC) {
		t.Helper()
		for _, orderly := range []tcg.TPMANV{0, tcg.TPMANVOrderly} {
			a := tcg.TPMANVAuthRead | tcg.TPMANVPPWrite | tcg.TPMANVOwnerWrite | orderly
			if by == tcg.TPMRHPlatform {
				a |= tcg.TPMANVPlatformCreate
			}
			x.want(rc, tcg.TPMCCNVDefineSpace, handles(by), func(w *tcg.Writer) {
				w.Sized(nil)
				p := tcg.TPMSNVPublic{NVIndex: engine.EpochIndex, NameAlg: tcg.TPMAlgSHA256, Attributes: a, DataSize: 8}
				p.Marshal2B(w)
			})
		}
	}
	define(rawTPM{t, d}, tcg.TPMRHPlatform, tcg.TPMRCNVDefined)

	if d, err = Load(engine.Config{Store: s}, s.state); err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	for _, by := range handles(tcg.TPMRHPlatform, tcg.TPMRHOwner) {
		define(rawTPM{t, d}, by, tcg.TPMRCValue.P(2))
	}
	if d.Perm.NV.Indices[engine.EpochIndex] != nil {
		t.Error("the index is there")
	}

	// A machine that comes from a host with an epoch runs on a host without one.
	if d, err = Manufacture(engine.Config{Store: s, Epoch: &engine.Epoch{Ledger: 1}}); err != nil {
		t.Fatal(err)
	}
	d.Execute(0, startupClear)
	d.Perm.NV.Indices[engine.EpochIndex].SetAttributes(d.Perm.NV.Indices[engine.EpochIndex].Public.Attributes | tcg.TPMANVOrderly) // of an earlier version, by a guest
	v, err := d.Volatile()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*engine.Epoch{nil, {Ledger: 2}} {
		if _, err := Resume(engine.Config{Store: s, Epoch: e}, s.state, v); err != nil {
			t.Errorf("with %v: %v", e, err)
		}
	}
}
