package service

//lint:file-ignore SA1019 TPM commands and their checks need points and coordinates, which crypto/ecdh does not give.

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// A view is what a verifier of a guest's TPM sees in one signed statement, and
// how near lockout the TPM is.
type view struct {
	ledger, restores uint32
	resetCount       uint32
	clock            uint64
	tries            uint32
	key              string // that signed
}

// akTemplate is a key that signs also in lockout.
var akTemplate = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	}),
}

// look has an attestation key certify the index of epochs, and checks what it
// signed.
func look(t *testing.T, tpm transport.TPM) (v view) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(akTemplate)}.Execute(tpm)
	fail(err)
	defer tpm2.FlushContext{FlushHandle: ak.ObjectHandle}.Execute(tpm)
	index, err := named(tpm, vtpm.EpochIndex)
	fail(err)
	nonce := []byte("what the verifier sent")
	r, err := tpm2.NVCertify{
		SignHandle: tpm2.NamedHandle{Handle: ak.ObjectHandle, Name: ak.Name}, AuthHandle: index, NVIndex: index,
		QualifyingData: tpm2.TPM2BData{Buffer: nonce}, Size: 8, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
	}.Execute(tpm)
	fail(err)

	public, err := ak.OutPublic.Contents()
	fail(err)
	point, err := public.Unique.ECC()
	fail(err)
	signature, err := r.Signature.Signature.ECDSA()
	fail(err)
	key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(point.X.Buffer), Y: new(big.Int).SetBytes(point.Y.Buffer)}
	hash := sha256.Sum256(r.CertifyInfo.Bytes())
	if !ecdsa.Verify(key, hash[:], new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer)) {
		t.Fatal("signature of TPM2_NV_Certify")
	}
	attest, err := r.CertifyInfo.Contents()
	fail(err)
	nv, err := attest.Attested.NV()
	fail(err)
	if !bytes.Equal(attest.ExtraData.Buffer, nonce) || len(nv.NVContents.Buffer) != 8 || !bytes.Equal(nv.IndexName.Buffer, index.Name.Buffer) {
		t.Fatalf("TPM2_NV_Certify: %+v", attest)
	}
	v.ledger, v.restores = binary.BigEndian.Uint32(nv.NVContents.Buffer), binary.BigEndian.Uint32(nv.NVContents.Buffer[4:])
	v.resetCount, v.clock = attest.ClockInfo.ResetCount, attest.ClockInfo.Clock
	v.key = string(point.X.Buffer)

	c, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 1}.Execute(tpm)
	fail(err)
	p, err := c.CapabilityData.Data.TPMProperties()
	fail(err)
	v.tries = p.TPMProperty[0].Value
	return v
}

// secret reads an index that the dictionary attack logic guards.
func secret(tpm transport.TPM, password string) error {
	h, err := named(tpm, nvSecret)
	if err != nil {
		return err
	}
	_, err = tpm2.NVRead{AuthHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth([]byte(password))},
		NVIndex: h, Size: 8}.Execute(tpm)
	return err
}

// lockReset is TPM2_DictionaryAttackLockReset by the empty lockout
// authorization.
var lockReset = []byte{0x80, 2, 0, 0, 0, 27, 0, 0, 1, 0x39, 0x40, 0, 0, 0x0A, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0}

// with runs what a guest does with its TPM.
func (s *site) with(v *target, do func(tpm transport.TPM)) {
	s.t.Helper()
	g, stop := s.guest(v.uuid, v.disk)
	defer stop()
	do(g)
}

// guarded defines the guarded index.
func (s *site) guarded(v *target) {
	s.t.Helper()
	s.with(v, func(tpm transport.TPM) {
		if err := errors.Join(define(tpm, nvSecret, tpm2.TPMNTOrdinary, 8, true), write(tpm, nvSecret, []byte("12345678")), secret(tpm, "auth")); err != nil {
			s.t.Fatal(err)
		}
	})
}

// guess tries two wrong passwords, and returns what a verifier sees then. Its clock is that
// before the second one: what the clock has shown since is not saved with it, and goes with a
// domain that does not end in order.
func (s *site) guess(v *target) (seen view) {
	s.t.Helper()
	s.with(v, func(tpm transport.TPM) {
		clock := uint64(0)
		for range 2 {
			clock = look(s.t, tpm).clock
			if err := secret(tpm, "wrong"); !errors.Is(err, tpm2.TPMRCAuthFail) {
				s.t.Fatal(err)
			}
		}
		seen = look(s.t, tpm)
		seen.clock = clock
	})
	return seen
}

// higher checks that nothing ran backwards.
func higher(t *testing.T, before, after view) {
	t.Helper()
	if after.key != before.key {
		t.Error("another TPM")
	}
	if after.resetCount <= before.resetCount || after.clock < before.clock || after.tries < before.tries {
		after.key, before.key = "", ""
		t.Errorf("after the restore %+v, before it %+v", after, before)
	}
}

// TestRestoreSeen restores a vTPM from a backup: a verifier sees it, guesses and
// resets stay counted, and the image of after the backup is of no use any more.
func TestRestoreSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.victim
	s.guarded(v)
	var backup []byte
	s.admin(testAdmin, func(c *proto.Client) (err error) { backup, err = c.Backup(v.uuid); return err })
	image, count := bytes.Clone(v.disk.Data), v.count

	s.served(v)
	last := s.guess(v)
	if last.ledger != 1 || last.restores != 0 || last.tries != 2 {
		t.Fatalf("before: %+v", last)
	}
	newest := bytes.Clone(v.disk.Data)
	copy(v.disk.Data, image)
	if err := s.refused(v.uuid, v.disk); !errors.Is(err, statedisk.ErrStale) {
		t.Errorf("old image without an order: %v", err)
	}
	s.admin(testAdmin, func(c *proto.Client) error { _, _, err := c.Restore(backup); return err })
	v.count = count
	s.with(v, func(tpm transport.TPM) {
		now := look(t, tpm)
		higher(t, last, now)
		if now.ledger != 1 || now.restores != 1 {
			t.Errorf("a verifier sees epoch %d.%d", now.ledger, now.restores)
		}
	})
	s.served(v)
	copied := blocktest.NewMem(len(newest))
	copy(copied.Data, newest)
	if err := s.refused(v.uuid, copied); !errors.Is(err, statedisk.ErrStale) {
		t.Errorf("image of after the backup: %v", err)
	}
	s.restart()
	s.served(v)
	s.served(s.other)
	s.with(s.other, func(tpm transport.TPM) {
		if o := look(t, tpm); o.ledger != 1 || o.restores != 0 {
			t.Errorf("the other's epoch: %d.%d", o.ledger, o.restores)
		}
	})
}

// TestRestoreLedgerSeen opens a snapshot of the whole host by the administrator's
// signature: all vTPMs go on in an epoch that a verifier sees, in lockout.
func TestRestoreLedgerSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.victim
	s.guarded(v)
	s.end()
	manager, image, count := bytes.Clone(s.mgrDisk.Data), bytes.Clone(v.disk.Data), v.count
	s.start("")
	s.served(v)
	last := s.guess(v)
	time.Sleep(2 * time.Second) // the manager holds that two resets take as long
	var signature []byte
	s.admin(testAdmin, func(c *proto.Client) error {
		g, err := c.Hello()
		signature = ed25519.Sign(testAdmin, proto.SignedRestore(g.Manager, g.Counter))
		return err
	})
	s.end()

	copy(s.mgrDisk.Data, manager)
	copy(v.disk.Data, image)
	v.count = count
	start := func(words string) error {
		e := s.environment(s.next, s.mgrDisk, words)
		s.next++
		return Manager(s.ctx, e, s.hw)
	}
	if err := start(""); !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("without the word: %v", err)
	}
	forged := bytes.Clone(signature)
	forged[5] ^= 1
	if err := start(fmt.Sprintf("restore=%x", forged)); !errors.Is(err, vtpmmgr.ErrRestore) {
		t.Errorf("forged: %v", err)
	}
	word := fmt.Sprintf("restore=%x", signature)
	s.start(word)
	s.with(v, func(tpm transport.TPM) {
		now := look(t, tpm)
		higher(t, last, now)
		if now.ledger <= last.ledger || now.restores != 0 {
			t.Errorf("a verifier sees epoch %d.%d", now.ledger, now.restores)
		}
		// No fresh tries, not even with the right password.
		for _, password := range []string{"wrong", "auth"} {
			if err := secret(tpm, password); !errors.Is(err, tpm2.TPMRCLockout) {
				t.Errorf("password %q after the restore: %v", password, err)
			}
		}
	})
	// The lockout outlasts a start, until who has the lockout's authorization
	// ends it.
	s.with(v, func(tpm transport.TPM) {
		if err := secret(tpm, "auth"); !errors.Is(err, tpm2.TPMRCLockout) {
			t.Errorf("after a start: %v", err)
		}
		if r, err := tpm.Send(lockReset); err != nil || !bytes.Equal(r[6:10], make([]byte, 4)) {
			t.Errorf("TPM2_DictionaryAttackLockReset: %x, %v", r, err)
		}
		if err := secret(tpm, "auth"); err != nil {
			t.Errorf("after the reset of the lockout: %v", err)
		}
	})
	s.served(v)
	s.with(s.other, func(tpm transport.TPM) {
		if o := look(t, tpm); o.ledger <= 1 {
			t.Errorf("the other's epoch: %d.%d", o.ledger, o.restores)
		}
	})
	s.served(s.other)
	s.end()
	// The word serves once.
	newest := bytes.Clone(s.mgrDisk.Data)
	copy(s.mgrDisk.Data, manager)
	if err := start(word); !errors.Is(err, vtpmmgr.ErrRestore) {
		t.Errorf("the word again: %v", err)
	}
	copy(s.mgrDisk.Data, newest)
	s.start("")
	s.served(v)
	s.served(s.other)
}

// TestClonePolicy starts a copy of a vTPM's disk as a vTPM of its own: refused
// unless the record says replace, and then it is another TPM.
func TestClonePolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.victim
	var first view
	var private tpm2.TPM2BPrivate
	var public tpm2.TPM2BPublic
	// parent runs something below the storage root key.
	parent := func(tpm transport.TPM, do func(parent tpm2.NamedHandle) error) error {
		k, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
		if err != nil {
			return err
		}
		defer tpm2.FlushContext{FlushHandle: k.ObjectHandle}.Execute(tpm)
		return do(tpm2.NamedHandle{Handle: k.ObjectHandle, Name: k.Name})
	}
	unseal := func(tpm transport.TPM) error {
		return parent(tpm, func(p tpm2.NamedHandle) error {
			o, err := tpm2.Load{ParentHandle: p, InPrivate: private, InPublic: public}.Execute(tpm)
			if err != nil {
				return err
			}
			defer tpm2.FlushContext{FlushHandle: o.ObjectHandle}.Execute(tpm)
			r, err := tpm2.Unseal{ItemHandle: tpm2.NamedHandle{Handle: o.ObjectHandle, Name: o.Name}}.Execute(tpm)
			if err == nil && string(r.OutData.Buffer) != "sealed" {
				err = fmt.Errorf("unsealed %q", r.OutData.Buffer)
			}
			return err
		})
	}
	s.with(v, func(tpm transport.TPM) {
		first = look(t, tpm)
		if err := parent(tpm, func(p tpm2.NamedHandle) error {
			r, err := tpm2.Create{ParentHandle: p,
				InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
					Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: []byte("sealed")})}},
				InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
					ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true}}),
			}.Execute(tpm)
			if err == nil {
				private, public = r.OutPrivate, r.OutPublic
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := unseal(tpm); err != nil {
			t.Fatal(err)
		}
	})
	clone := &target{uuid: vtpmmgr.UUID{3}, disk: blocktest.NewMem(len(v.disk.Data))}
	copy(clone.disk.Data, v.disk.Data)
	e := proto.Enrollment{UUID: clone.uuid}
	s.admin(testAdmin, func(c *proto.Client) error { return c.Enroll(&e) })
	if err := s.refused(clone.uuid, clone.disk); !errors.Is(err, statedisk.ErrForeign) {
		t.Errorf("without the policy: %v", err)
	}
	e.Replace = true
	s.admin(testAdmin, func(c *proto.Client) error { return c.Amend(&e) })
	s.with(clone, func(tpm transport.TPM) {
		if look(t, tpm).key == first.key {
			t.Error("the clone has the other's endorsement seed")
		}
		if err := unseal(tpm); err == nil || !strings.Contains(err.Error(), "TPM_RC_INTEGRITY") {
			t.Errorf("the clone unseals: %v", err)
		}
		if _, err := named(tpm, 0x01800002); err == nil {
			t.Error("the clone has the other's counter")
		}
	})
	s.with(v, func(tpm transport.TPM) {
		if err := unseal(tpm); err != nil || look(t, tpm).key != first.key {
			t.Errorf("the first one: %v", err)
		}
	})
	s.served(clone) // on its own now
	s.served(clone)
	s.served(v)
	s.served(s.other)

	// Replace is for the making only: it does not open another's image later.
	copy(clone.disk.Data, v.disk.Data)
	if err := s.refused(clone.uuid, clone.disk); !errors.Is(err, statedisk.ErrForeign) {
		t.Errorf("another's image under a TPM that was made: %v", err)
	}
}

// TestEnrolledOnAnotherManager: after a disaster an operator enrolls the uuid on
// a new manager and starts the vTPM on its disk. The state there, which a backup
// would still open, is refused and not written over, unless the order says so.
func TestEnrolledOnAnotherManager(t *testing.T) {
	t.Parallel()
	lost := newSite(t)
	lost.served(lost.victim)
	before := bytes.Clone(lost.victim.disk.Data)

	s := newSite(t)
	moved := &target{uuid: lost.victim.uuid, disk: lost.victim.disk}
	s.admin(testAdmin, func(c *proto.Client) error { return c.Destroy(s.victim.uuid) })
	e := proto.Enrollment{UUID: moved.uuid}
	s.admin(testAdmin, func(c *proto.Client) error { return c.Enroll(&e) })
	if err := s.refused(moved.uuid, moved.disk); !errors.Is(err, statedisk.ErrInUse) {
		t.Errorf("a disk with another manager's state: %v", err)
	}
	if !bytes.Equal(moved.disk.Data, before) {
		t.Fatal("the state was written over")
	}
	lost.served(lost.victim) // as good as it was

	e.Replace = true
	s.admin(testAdmin, func(c *proto.Client) error { return c.Amend(&e) })
	s.served(moved)
	s.served(moved)
}
