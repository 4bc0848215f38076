package service

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/proto"
)

func storedProfile(name string) string {
	var w tcg.Writer
	tcg.NamedProfile(name).Marshal(&w)
	return string(w.B)
}

// TestProfile: the order that enrolls a vTPM chooses what its TPM offers; a TPM
// that exists keeps its own, and one that is none makes no TPM.
func TestProfile(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	disk := blocktest.NewMem(statedisk.MinDisk * 4)
	defer l.manager(initWords)()
	order := func(give func(c *proto.Client) error) {
		t.Helper()
		f := l.attach(0, managerID, "00000000-0000-0000-0000-000000000000")
		defer f.Close(l.ctx)
		c := proto.Client{Transact: func(b []byte) ([]byte, error) { return f.Transact(l.ctx, 0, b) }, Key: testAdmin}
		if err := give(&c); err != nil {
			t.Fatal(err)
		}
	}
	e := proto.Enrollment{UUID: campaignUUID, Profile: storedProfile("full") + "x"}
	order(func(c *proto.Client) error { return c.Enroll(&e) })
	dom0 := l.host.Domain(0)
	defer dom0.Store.Close()
	for i, bad := range []string{e.Profile, "none", storedProfile("full")[:20]} {
		e.Profile = bad
		order(func(c *proto.Client) error { return c.Amend(&e) })
		id := xen.DomID(9 - i)
		if _, err := tpmif.Attach(l.ctx, dom0.Store, tpmif.Device{Front: id, Back: managerID, UUID: testUUID}); err != nil {
			t.Fatal(err)
		}
		if err := VTPM(l.ctx, l.environment(id, disk, "")); err == nil || !strings.Contains(err.Error(), "manufacture: ") {
			t.Fatalf("a profile of %d bytes that is none: %v", len(bad), err)
		}
	}
	for boot, name := range []string{"full", "pc-client", ""} {
		if name != "" {
			e.Profile = storedProfile(name)
			order(func(c *proto.Client) error { return c.Amend(&e) })
		}
		id := xen.DomID(2 + 2*boot)
		stop := l.vtpm(id, disk)
		tpm := guest{l.ctx, l.attach(id+1, id, testUUID)}
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapAlgs, Property: uint32(tpm2.TPMAlgCamellia), PropertyCount: 1}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		algs, err := r.CapabilityData.Data.Algorithms()
		if err != nil || len(algs.AlgProperties) != 1 || algs.AlgProperties[0].Alg != tpm2.TPMAlgCamellia {
			t.Errorf("boot %d, %q: first algorithm from Camellia on: %+v, %v", boot, name, algs, err)
		}
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}
