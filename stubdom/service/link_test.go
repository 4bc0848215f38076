package service

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
)

// restart ends the manager as xl destroy does, starts another as a domain of
// another number, and gives the vTPM a device of it, as the toolstack's hook.
func (l *lab) restartManager(stop func() error, from, to, vtpm xen.DomID) (stopNew func() error) {
	l.t.Helper()
	dom0 := l.host.Domain(0)
	stop()
	if err := dom0.Store.Remove(l.ctx, "/local/domain/"+itoa(from)); err != nil {
		l.t.Fatal(err)
	}
	e := l.environment(to, l.mgrDisk, "")
	stopNew = l.run(to, func(ctx context.Context) error { return Manager(ctx, e, l.hw) })
	front := "/local/domain/" + itoa(vtpm) + "/device/vtpm/0"
	for l.ctx.Err() == nil {
		if s, err := dom0.Store.Read(l.ctx, front+"/state"); err == nil && s == "6" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := tpmif.Detach(l.ctx, dom0.Store, tpmif.Device{Front: vtpm, Back: from, UUID: testUUID}); err != nil {
		l.t.Fatal(err)
	}
	if _, err := tpmif.Attach(l.ctx, dom0.Store, tpmif.Device{Front: vtpm, Back: to, UUID: testUUID}); err != nil {
		l.t.Fatal(err)
	}
	return stopNew
}

// TestManagerRestarts kills the manager again and again while a guest counts:
// no answer to the guest is an error, and no count is lost or made twice.
func TestManagerRestarts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	stop := l.manager(initWords)
	l.enroll(testUUID)
	stopVTPM := l.vtpm(2, blocktest.NewMem(statedisk.MinDisk*4))
	defer stopVTPM() // before the manager ends: it saves once more
	tpm := guest{l.ctx, l.attach(3, 2, testUUID)}
	counter := newCounter(t, tpm)
	last := counter.increment(t, tpm)

	done, counted := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(0)
		for {
			select {
			case <-done:
				counted <- n
				return
			default:
				counter.increment(t, tpm)
				n++
			}
		}
	}()
	id := managerID
	for range 5 {
		time.Sleep(20 * time.Millisecond)
		next := id + 1
		if id == managerID {
			next = 5 // 2 and 3 are taken
		}
		stop = l.restartManager(stop, id, next, 2)
		id = next
	}
	time.Sleep(20 * time.Millisecond)
	close(done)
	n := <-counted
	if got := counter.increment(t, tpm); got != last+n+1 {
		t.Errorf("counter is %d after %d more increments from %d", got, n+1, last)
	}
	if n < 5 {
		t.Errorf("only %d increments in five lives of the manager", n)
	}
}

// A counter is an NV counter of the guest's TPM.
type counter struct{ handle tpm2.TPMHandle }

func newCounter(t *testing.T, tpm guest) counter {
	t.Helper()
	c := counter{0x01800002}
	if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: c.handle, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: tpm2.TPMNTCounter, NoDA: true},
	})}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c counter) increment(t *testing.T, tpm guest) uint64 {
	t.Helper()
	name := func() tpm2.NamedHandle {
		pub, err := tpm2.NVReadPublic{NVIndex: c.handle}.Execute(tpm)
		if err != nil {
			t.Error(err)
			return tpm2.NamedHandle{Handle: c.handle}
		}
		return tpm2.NamedHandle{Handle: c.handle, Name: pub.NVName}
	}
	if _, err := (tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: name()}).Execute(tpm); err != nil {
		t.Error(err)
		return 0
	}
	v, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, NVIndex: name(), Size: 8}.Execute(tpm)
	if err != nil {
		t.Error(err)
		return 0
	}
	return binary.BigEndian.Uint64(v.Data.Buffer)
}

// TestVTPMUnderRunningGuest: a guest that has another vTPM than before finds its PCRs
// unlike those after any start of a machine; a new one finds them at their start values.
func TestVTPMUnderRunningGuest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.manager(initWords)
	l.enroll(testUUID)
	disk := blocktest.NewMem(statedisk.MinDisk * 4)
	zero := strings.Repeat("\x00", 32)
	for _, c := range []struct {
		vtpm, guest xen.DomID
		capped      bool
	}{{2, 3, false}, {5, 3, true}, {6, 3, true}, {7, 4, false}, {8, 3, false}} {
		stop := l.vtpm(c.vtpm, disk)
		f := l.attach(c.guest, c.vtpm, testUUID)
		for _, pcr := range []uint{0, 7, 15} {
			v, err := tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcr)}}}}.Execute(guest{l.ctx, f})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(v.PCRValues.Digests[0].Buffer) != zero; got != c.capped {
				t.Errorf("vTPM %d, guest %d: PCR %d is not zero: %v", c.vtpm, c.guest, pcr, got)
			}
		}
		f.Close(l.ctx)
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}
