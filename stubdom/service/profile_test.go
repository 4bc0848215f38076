package service

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
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
// that exists keeps its own, and no order takes an invalid one.
func TestProfile(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	disk := blocktest.NewMem(statedisk.MinDisk * 4)
	defer l.manager(initWords)()
	order := func(want error, give func(c *proto.Client) error) {
		t.Helper()
		f := l.attach(0, managerID, "00000000-0000-0000-0000-000000000000")
		defer f.Close(l.ctx)
		c := proto.Client{Transact: func(b []byte) ([]byte, error) { return f.Transact(l.ctx, 0, b) }, Key: testAdmin}
		if err := give(&c); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	e := proto.Enrollment{UUID: campaignUUID}
	bad := []string{storedProfile("full") + "x", "none", storedProfile("full")[:20]}
	refuse := func(give func(c *proto.Client) error) {
		t.Helper()
		for _, e.Profile = range bad {
			order(proto.BadMessage, give)
			// A manager of an earlier version took it.
			if _, err := grantProfile(&proto.Grant{Profile: e.Profile}); err == nil {
				t.Errorf("a profile of %d bytes that is none was taken", len(e.Profile))
			}
		}
	}
	refuse(func(c *proto.Client) error { return c.Enroll(&e) })
	e.Profile = storedProfile("pc-client")
	order(nil, func(c *proto.Client) error { return c.Enroll(&e) })
	refuse(func(c *proto.Client) error { return c.Amend(&e) })
	for boot, name := range []string{"full", "pc-client", ""} {
		if name != "" {
			e.Profile = storedProfile(name)
			want := error(nil)
			if boot > 0 {
				want = proto.Exists // there is a TPM
			}
			order(want, func(c *proto.Client) error { return c.Amend(&e) })
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
