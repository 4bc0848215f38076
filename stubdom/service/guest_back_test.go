package service

import (
	"errors"
	"testing"

	"stubtpm/drivers/tpmif"
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
