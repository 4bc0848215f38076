package service

import (
	"errors"
	"testing"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr/proto"
)

// TestOldGuestAfterReset: the TPM was reset for a new guest, which the manager could not be
// told. The guest before it, which still runs, does not find the PCRs of a start then.
func TestOldGuestAfterReset(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	if err := w.connect(); err != nil || w.conn == nil {
		t.Fatal(err)
	}
	old := w.guest.domain
	w.create(true)
	if w.guest.domain == old {
		w.guest.domain = old%4 + 1
		if err := w.order(testHostKey).Created(uint16(w.guest.domain), campaignUUID); err != nil {
			t.Fatal(err)
		}
	}
	working := w.h.manager
	w.h.manager = &proto.Client{Transact: func(b []byte) ([]byte, error) {
		if b[len(b)-1] == 1 { // it has the TPM
			return nil, errLink
		}
		return working.Transact(b)
	}}
	peer := tpmif.Peer{Domain: w.guest.domain, UUID: proto.UUID(campaignUUID).String()}
	if _, err := w.h.Open(peer); !errors.Is(err, tpmif.ErrLater) {
		t.Fatalf("without the manager: %v", err)
	}
	w.h.manager = working
	peer.Domain = old
	var err error
	if w.conn, err = w.h.Open(peer); err != nil {
		t.Fatal(err)
	}
	if zero := string(make([]byte, 32)); w.pcr(0) == zero || w.pcr(8) == zero {
		t.Error("the guest that ran before finds the PCRs of a start")
	}
}

// TestGuestStartRequired: a vTPM whose record requires a measured start refuses any other
// guest, and says why; its TPM stays as it is for the guest that comes next.
func TestGuestStartRequired(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	listed, other := proto.Program{Hash: [32]byte{1}, Measurer: "a host 1"}, proto.Program{Hash: [32]byte{2}, Measurer: "a host 1"}
	amend := func(programs ...[32]byte) {
		t.Helper()
		if err := w.order(testAdmin).Amend(&proto.Enrollment{UUID: campaignUUID, Attested: true, Measured: true, Programs: programs}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(domain xen.DomID, firmware bool, want error) {
		t.Helper()
		conn, err := w.h.OpenCRB(tpmif.Peer{Domain: domain, UUID: proto.UUID(campaignUUID).String()}, firmware)
		if !errors.Is(err, want) || want != nil && errors.Is(err, tpmif.ErrLater) {
			t.Errorf("domain %d, firmware %v: %v, want %v", domain, firmware, err, want)
		}
		if err == nil {
			conn.Close()
		}
	}
	tell := func(domain uint16, p proto.Program) {
		t.Helper()
		if err := w.order(testHostKey).CreatedMeasured(domain, campaignUUID, p); err != nil {
			t.Fatal(err)
		}
	}
	amend(listed.Hash)
	open(9, true, proto.StartNotMeasured)
	open(9, false, proto.StartNotMeasured)
	tell(9, listed)
	amend(other.Hash)
	open(9, true, proto.WrongProgram)
	amend(listed.Hash)
	open(9, true, nil)
	open(10, false, proto.StartNotMeasured) // restored from a file
	open(9, true, nil)                      // what measures it was restarted
	if s, err := w.order(testAdmin).Starts(); err != nil || len(s) != 1 || !s[0].Start.Measured || s[0].Program != listed || s[0].Domain != 9 {
		t.Errorf("%+v, %v", s, err)
	}
}
