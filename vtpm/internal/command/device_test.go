package command

import (
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
)

// memStore keeps the last state saved; fail makes the next saves fail.
type memStore struct {
	state []byte
	saves int
	fail  error
}

func (s *memStore) Save(state []byte) error {
	if s.fail != nil {
		return s.fail
	}
	s.state = append([]byte(nil), state...)
	s.saves++
	return nil
}

// client lets go-tpm, which is no part of the device, talk to it.
type client struct{ d *engine.Device }

func (c client) Send(cmd []byte) ([]byte, error) { return execute(c.d, 0, cmd) }

func newTestDevice(t *testing.T) (*engine.Device, *memStore, transport.TPM) {
	t.Helper()
	s := new(memStore)
	d, err := Manufacture(engine.Config{Store: s, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	tpm := client{d}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	return d, s, tpm
}

func TestSealUnsealSurvivesRestart(t *testing.T) {
	t.Parallel()
	_, s, tpm := newTestDevice(t)
	srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("the secret")
	sealed, err := tpm2.Create{
		ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name},
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
		}),
	}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}

	d, err := Load(engine.Config{Store: s}, s.state)
	if err != nil {
		t.Fatal(err)
	}
	tpm = client{d}
	if _, err := (tpm2.Startup{StartupType: tpm2.TPMSUClear}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	srk2, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	if string(srk.Name.Buffer) != string(srk2.Name.Buffer) {
		t.Fatal("the primary key is another after a restart")
	}
	loaded, err := tpm2.Load{
		ParentHandle: tpm2.NamedHandle{Handle: srk2.ObjectHandle, Name: srk2.Name},
		InPrivate:    sealed.OutPrivate, InPublic: sealed.OutPublic,
	}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	// A salted session with parameter encryption checks much of the protocol.
	unsealed, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
		Handle: loaded.ObjectHandle, Name: loaded.Name,
		Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptOut),
			tpm2.Salted(srk2.ObjectHandle, must1(srk2.OutPublic.Contents()))),
	}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	if string(unsealed.OutData.Buffer) != string(secret) {
		t.Fatalf("unsealed %q", unsealed.OutData.Buffer)
	}
}

func must1[T any](v *T, err error) T {
	if err != nil {
		panic(err)
	}
	return *v
}

// What an orderly index was given since the last save was answered, so that a
// later command that cannot be saved does not take it back.
func TestFailedSaveKeepsOrderly(t *testing.T) {
	t.Parallel()
	d, s, tpm := newTestDevice(t)
	const index = tpm2.TPMHandle(0x01800002)
	define := func(h tpm2.TPMHandle, orderly bool) error {
		_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
			Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: tpm2.TPMNTCounter, Orderly: orderly, NoDA: true},
		})}.Execute(tpm)
		return err
	}
	named := func() tpm2.NamedHandle {
		t.Helper()
		r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		return tpm2.NamedHandle{Handle: index, Name: r.NVName}
	}
	increment := func() error {
		_, err := tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: named()}.Execute(tpm)
		return err
	}
	value := func() uint64 { return d.Perm.NV.Indices[tcg.TPMHandle(index)].Number() }
	if err := define(index, true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := increment(); err != nil {
			t.Fatal(err)
		}
	}
	saves, was := s.saves, value()
	s.fail = errors.New("disk is gone")
	if err := increment(); err != nil || s.saves != saves {
		t.Fatalf("an orderly counter was saved: %v", err)
	}
	if err := define(index+1, false); !errors.Is(err, tpm2.TPMRCNVUnavailable) {
		t.Fatalf("define with a failing store: %v", err)
	}
	if err := define(index+1, false); !errors.Is(err, tpm2.TPMRCNVUnavailable) {
		t.Fatalf("and again: %v", err)
	}
	if value() != was+1 || !d.Perm.NV.Indices[tcg.TPMHandle(index)].Written() {
		t.Fatalf("counter %d, written %v; %d was answered", value(), d.Perm.NV.Indices[tcg.TPMHandle(index)].Written(), was+1)
	}
	// The increment that has to be saved itself is undone alone.
	for value()&nv.OrderlyCount != nv.OrderlyCount {
		if err := increment(); err != nil {
			t.Fatal(err)
		}
	}
	was = value()
	if err := increment(); !errors.Is(err, tpm2.TPMRCNVUnavailable) || value() != was {
		t.Fatalf("counter %d after %v, was %d", value(), err, was)
	}
	s.fail = nil
	if err := increment(); err != nil || value() != was+1 {
		t.Fatalf("counter %d after %v, was %d", value(), err, was)
	}
}
