package service

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block"
	"stubtpm/drivers/slot"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
)

// TestProfileWord: the command line chooses the profile of a TPM that is made,
// a TPM that exists keeps its own, and a name that is none makes no TPM.
func TestProfileWord(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	disk := block.NewMem(slot.MinDisk * 4)
	defer l.manager(initWords)()
	l.enroll(testUUID)
	if _, err := tpmif.Attach(l.ctx, l.host.Domain(0).Store, tpmif.Device{Front: 9, Back: managerID, UUID: testUUID}); err != nil {
		t.Fatal(err)
	}
	if err := VTPM(l.ctx, l.environment(9, disk, "profile=fast")); err == nil || !strings.Contains(err.Error(), "none of pc-client") {
		t.Fatalf("profile=fast: %v", err)
	}
	for boot, word := range []string{"profile=full", "profile=pc-client", ""} {
		id := xen.DomID(2 + 2*boot)
		stop := l.vtpmWith(id, disk, word)
		tpm := guest{l.ctx, l.attach(id+1, id, testUUID)}
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapAlgs, Property: uint32(tpm2.TPMAlgCamellia), PropertyCount: 1}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		algs, err := r.CapabilityData.Data.Algorithms()
		if err != nil || len(algs.AlgProperties) != 1 || algs.AlgProperties[0].Alg != tpm2.TPMAlgCamellia {
			t.Errorf("boot %d, %q: first algorithm from Camellia on: %+v, %v", boot, word, algs, err)
		}
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}
