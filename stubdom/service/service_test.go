package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xentest"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/proto"
)

// Domain numbers and the uuid of the tests' one vTPM.
const (
	managerID xen.DomID = 1
	testUUID            = "6f3b2a10-0000-4000-8000-000000000001"
)

// A lab is a host with a manager; tests add vTPMs and guests.
type lab struct {
	t       *testing.T
	ctx     context.Context
	host    *xentest.Host
	hw      transport.TPM
	mgrDisk *blocktest.Mem
	wait    sync.WaitGroup
}

type hardware struct{ d *vtpm.Device }

func (h hardware) Send(b []byte) ([]byte, error) { return h.d.Execute(0, b), nil }

type noStore struct{}

func (noStore) Save([]byte) error { return nil }

func newLab(t *testing.T) *lab {
	t.Helper()
	d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	l := &lab{t: t, ctx: ctx, host: xentest.NewHost(), hw: hardware{d}, mgrDisk: blocktest.NewMem(512 << 10)}
	t.Cleanup(func() { cancel(); l.wait.Wait() })
	return l
}

func (l *lab) environment(id xen.DomID, disk block.Device, cmdline string) *Environment {
	return &Environment{
		Domain: l.host.Domain(id), CommandLine: cmdline,
		Disk: func(context.Context) (block.Device, error) { return disk, nil },
		Seed: func([]byte) {},
		Log:  func(f string, a ...any) { l.t.Logf("dom%d: "+f, append([]any{id}, a...)...) },
	}
}

// run starts a domain's service; stop ends it as the toolstack does.
func (l *lab) run(id xen.DomID, serve func(ctx context.Context) error) (stop func() error) {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(l.ctx)
	l.wait.Add(1)
	go func() {
		defer l.wait.Done()
		err := serve(ctx)
		l.t.Logf("dom%d ended: %v", id, err)
		done <- err
	}()
	return func() error { cancel(); return <-done }
}

func (l *lab) manager(cmdline string) (stop func() error) {
	e := l.environment(managerID, l.mgrDisk, cmdline)
	return l.run(managerID, func(ctx context.Context) error { return Manager(ctx, e, l.hw) })
}

// attach makes a device and connects its frontend.
func (l *lab) attach(front, back xen.DomID, uuid string) *tpmif.Frontend {
	l.t.Helper()
	dom0 := l.host.Domain(0)
	path, err := tpmif.Attach(l.ctx, dom0.Store, tpmif.Device{Front: front, Back: back, UUID: uuid})
	if err != nil {
		l.t.Fatal(err)
	}
	f, err := tpmif.ConnectAt(l.ctx, l.host.Domain(front), path)
	if err != nil {
		l.t.Fatal(err)
	}
	return f
}

func (l *lab) enroll(uuid string) {
	l.t.Helper()
	f := l.attach(0, managerID, "00000000-0000-0000-0000-000000000000")
	defer f.Close(l.ctx)
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return f.Transact(l.ctx, 0, b) }, Key: testAdmin}
	if err := c.Enroll(&proto.Enrollment{UUID: campaignUUID}); err != nil {
		l.t.Fatal(err)
	}
}

// vtpm starts the vTPM's domain.
func (l *lab) vtpm(id xen.DomID, disk block.Device) (stop func() error) {
	l.t.Helper()
	dom0 := l.host.Domain(0)
	if _, err := tpmif.Attach(l.ctx, dom0.Store, tpmif.Device{Front: id, Back: managerID, UUID: testUUID}); err != nil {
		l.t.Fatal(err)
	}
	e := l.environment(id, disk, "")
	return l.run(id, func(ctx context.Context) error {
		err := VTPM(ctx, e)
		// A domain that ended is gone from the store.
		dom0.Store.Remove(context.WithoutCancel(ctx), "/local/domain/"+itoa(id)+"/device/vtpm")
		return err
	})
}

// initWords are the command line of a manager that is set up.
var initWords = fmt.Sprintf("init pcrs=7 admin=%x", testAdmin.Public())

func itoa(id xen.DomID) string { return string(rune('0' + id)) }

type guest struct {
	ctx context.Context
	f   *tpmif.Frontend
}

func (g guest) Send(b []byte) ([]byte, error) { return g.f.Transact(g.ctx, 0, b) }

// TestGuestKeepsItsTPM runs manager, vTPM and guest; then both again, on the
// same disks: a counter in the guest's TPM goes on where it was.
func TestGuestKeepsItsTPM(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	disk := blocktest.NewMem(statedisk.MinDisk * 4)
	stopManager := l.manager(initWords)
	l.enroll(testUUID)

	var last uint64
	for boot := range xen.DomID(3) {
		stop := l.vtpm(2+2*boot, disk)
		f := l.attach(3+2*boot, 2+2*boot, testUUID)
		tpm := guest{l.ctx, f}
		index := tpm2.NamedHandle{Handle: 0x01800001}
		if boot == 0 {
			if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
				NVIndex: 0x01800001, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
				Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NT: tpm2.TPMNTCounter, NoDA: true},
			})}).Execute(tpm); err != nil {
				t.Fatal(err)
			}
		}
		pub, err := tpm2.NVReadPublic{NVIndex: index.Handle}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		index.Name = pub.NVName
		if _, err := (tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: index}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
		if pub, err = (tpm2.NVReadPublic{NVIndex: index.Handle}).Execute(tpm); err != nil {
			t.Fatal(err)
		}
		index.Name = pub.NVName
		v, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, NVIndex: index, Size: 8}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for _, b := range v.Data.Buffer {
			n = n<<8 | uint64(b)
		}
		if boot > 0 && n != last+1 {
			t.Fatalf("boot %d: counter is %d, was %d", boot, n, last)
		}
		last = n
		if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if boot == 1 {
			stopManager()
			stopManager = l.manager("")
		}
	}
}

// TestRefusals: the vTPM says why on its console, and serves nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		enroll bool
		start  bool // runs once before, so that there is a state
		damage func(d *blocktest.Mem)
		want   error
	}{
		{"not enrolled", false, false, nil, context.DeadlineExceeded},
		{"foreign image at manufacture", true, false, func(d *blocktest.Mem) {
			s, _ := statedisk.Open(d, [16]byte{9})
			s.Save(make([]byte, statedisk.KeySize), 1, []byte("x"))
		}, statedisk.ErrForeign},
		{"blank disk", true, true, func(d *blocktest.Mem) { clear(d.Data) }, statedisk.ErrBlank},
		{"torn image", true, true, func(d *blocktest.Mem) {
			for _, at := range []int{600, len(d.Data)/2 + 600} {
				clear(d.Data[at : at+100])
			}
		}, statedisk.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			disk := blocktest.NewMem(statedisk.MinDisk * 4)
			l.manager(initWords)
			id := xen.DomID(2)
			if c.enroll {
				l.enroll(testUUID)
			}
			if c.start {
				stop := l.vtpm(id, disk)
				f := l.attach(3, id, testUUID)
				f.Close(l.ctx)
				stop()
				id = 4
			}
			if c.damage != nil {
				c.damage(disk)
			}
			before := bytes.Clone(disk.Data)
			if !c.enroll {
				var cancel context.CancelFunc
				l.ctx, cancel = context.WithTimeout(l.ctx, 2*time.Second)
				defer cancel()
			}
			dom0 := l.host.Domain(0)
			if _, err := tpmif.Attach(l.ctx, dom0.Store, tpmif.Device{Front: id, Back: managerID, UUID: testUUID}); err != nil {
				t.Fatal(err)
			}
			err := VTPM(l.ctx, l.environment(id, disk, ""))
			if !errors.Is(err, c.want) && !(!c.enroll && err != nil && strings.Contains(err.Error(), "manager")) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if !bytes.Equal(before, disk.Data) {
				t.Fatal("the disk was written")
			}
		})
	}
}
