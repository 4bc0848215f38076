package service

import (
	"errors"
	"testing"

	"stubtpm/drivers/tpmif"
	"stubtpm/vtpmmgr/proto"
)

// TestRestoredToldAgain: what tells of a restored domain ends after the vTPM has begun to serve
// it, and the one that takes over tells the token that it found, also the one of before. The
// TPM goes on, unless the domain has used it since.
func TestRestoredToldAgain(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{false, true} {
		w := newSavedWorld(t, 2)
		w.must(w.order(testHostKey).Created(uint16(w.domain), campaignUUID))
		w.must(w.connect())
		w.extend()
		w.save()
		w.disconnect()
		w.domain++
		for range 3 {
			w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, w.images[0].token))
			w.must(w.connect())
			w.disconnect()
		}
		if used {
			w.must(w.connect())
			w.extend()
			w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, w.images[0].token))
		}
		w.must(w.connect())
		if kept := pcrBy(t, w.conn, 8) == w.images[0].pcr8; kept == used {
			t.Errorf("used %v: the TPM goes on: %v", used, kept)
		}
	}
}

// TestRestoredNumberMustFit: where measured starts are required, a domain that was restored
// from another image does not get the TPM by the number of the domain before it, however often
// it tries, and when nothing that the host told counts any more.
func TestRestoredNumberMustFit(t *testing.T) {
	t.Parallel()
	w := newSavedWorld(t, 3)
	program := proto.Program{Hash: [32]byte{1}, Measurer: "a host 1"}
	w.must(w.order(testAdmin).Amend(&proto.Enrollment{UUID: campaignUUID, Attested: true, Measured: true, Programs: [][32]byte{program.Hash}}))
	w.must(w.order(testHostKey).CreatedMeasured(uint16(w.domain), campaignUUID, program))
	w.must(w.connect())
	w.extend()
	w.disconnect()
	w.must(w.order(testHostKey).Restored(uint16(w.domain), campaignUUID, [32]byte{7}))
	if s, err := w.order(testAdmin).Starts(); err != nil || len(s) != 1 || s[0].Serves || s[0].Start.Measured {
		t.Errorf("of a domain that is gone: %+v, %v", s, err)
	}
	for n := range 4 {
		if n == 2 { // the host's word counts no more
			w.must(w.order(testHostKey).CreatedMeasured(uint16(w.domain), campaignUUID, program))
			w.must(w.order(testHostKey).CreatedMeasured(uint16(w.domain+1), campaignUUID, program))
		}
		c, err := w.h.OpenCRB(tpmif.Peer{Domain: w.domain, UUID: proto.UUID(campaignUUID).String()}, false)
		if !errors.Is(err, proto.StartNotMeasured) {
			t.Fatalf("try %d: %v", n, err)
		}
		if c != nil {
			t.Fatal("it has the TPM")
		}
	}
}
