package service

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/block"
	"stubtpm/drivers/block/blocktest"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// Attacks on a host with two vTPMs, by anyone who has its disks or builds its domains.
// Package vtpmmgr has those on the manager alone.

// testHost may tell which image a domain runs.
var testHost = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// A target is one of the vTPMs.
type target struct {
	uuid  vtpmmgr.UUID
	disk  *blocktest.Mem
	count uint64 // of its guest's counter
}

// A site is a host with a manager and two vTPMs, one attacked and one beside it.
type site struct {
	*lab
	victim, other *target
	next          xen.DomID // number of the next domain
	back          xen.DomID // the manager's
	stop          func() error
	labels        *labels

	mu    sync.Mutex
	lines []string // of the manager's console
}

// newSite sets a host up; each guest counted twice, with a start between.
func newSite(t *testing.T) *site {
	s := &site{lab: newLab(t), next: 2, labels: &labels{of: map[xen.DomID]string{}},
		victim: &target{uuid: vtpmmgr.UUID{1}, disk: blocktest.NewMem(4 * statedisk.MinDisk)},
		other:  &target{uuid: vtpmmgr.UUID{2}, disk: blocktest.NewMem(4 * statedisk.MinDisk)}}
	s.start(fmt.Sprintf("%s host=%x", initWords, testHost.Public()))
	for _, v := range []*target{s.victim, s.other} {
		s.admin(testAdmin, func(c *proto.Client) error { return c.Enroll(&proto.Enrollment{UUID: v.uuid}) })
		s.served(v)
		s.served(v)
	}
	return s
}

// start starts a manager, each time as a domain of another number.
func (s *site) start(words string) {
	s.back, s.next = s.next, s.next+1
	e := s.environment(s.back, s.mgrDisk, words)
	s.labels.Events, s.labels.ports = e.Domain.Events, map[xen.Port]xen.DomID{}
	e.Domain.Events = s.labels
	log := e.Log
	e.Log = func(f string, a ...any) {
		s.mu.Lock()
		s.lines = append(s.lines, fmt.Sprintf(f, a...))
		s.mu.Unlock()
		log(f, a...)
	}
	s.stop = s.run(s.back, func(ctx context.Context) error { return Manager(ctx, e, s.hw) })
}

// restart starts it with the words of every day.
func (s *site) restart() { s.end(); s.start("") }

// end stops the manager.
func (s *site) end() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// said waits until the manager's console says something.
func (s *site) said(what string) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		for _, l := range s.lines {
			if strings.Contains(l, what) {
				s.mu.Unlock()
				return true
			}
		}
		s.mu.Unlock()
	}
	return false
}

func (s *site) admin(key ed25519.PrivateKey, order func(c *proto.Client) error) {
	s.t.Helper()
	f := s.attach(0, s.back, vtpmmgr.UUID{}.String())
	defer f.Close(s.ctx)
	c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return f.Transact(s.ctx, 0, b) }, Key: key}
	if err := order(c); err != nil {
		s.t.Fatal(err)
	}
}

// boot starts a vTPM's domain on a disk, which has the number id.
func (s *site) boot(u vtpmmgr.UUID, disk block.Device) (id xen.DomID, stop func() error) {
	s.t.Helper()
	id, s.next = s.next, s.next+1
	dom0 := s.host.Domain(0)
	if _, err := tpmif.Attach(s.ctx, dom0.Store, tpmif.Device{Front: id, Back: s.back, UUID: u.String()}); err != nil {
		s.t.Fatal(err)
	}
	e := s.environment(id, disk, "")
	return id, s.run(id, func(ctx context.Context) error {
		err := VTPM(ctx, e)
		dom0.Store.Remove(context.WithoutCancel(ctx), fmt.Sprintf("/local/domain/%d/device/vtpm", id))
		return err
	})
}

// guest starts a vTPM and a guest with it.
func (s *site) guest(u vtpmmgr.UUID, disk block.Device) (g guest, stop func()) {
	s.t.Helper()
	id, end := s.boot(u, disk)
	front := s.next
	s.next++
	f := s.attach(front, id, u.String())
	return guest{s.ctx, f}, func() {
		s.t.Helper()
		f.Close(s.ctx)
		if err := end(); err != nil && !errors.Is(err, context.Canceled) {
			s.t.Error(err)
		}
	}
}

// served has a guest count on: its TPM is there, and as it was.
func (s *site) served(v *target) {
	s.t.Helper()
	g, stop := s.guest(v.uuid, v.disk)
	defer stop()
	c := counter{0x01800002}
	if v.count == 0 {
		newCounter(s.t, g)
	}
	switch n := c.increment(s.t, g); {
	case v.count != 0 && n != v.count+1:
		s.t.Errorf("%v: counter is %d, was %d", v.uuid, n, v.count)
	default:
		v.count = n
	}
}

// refused boots a vTPM that ends by itself, and returns why.
func (s *site) refused(u vtpmmgr.UUID, disk *blocktest.Mem) error {
	s.t.Helper()
	before := bytes.Clone(disk.Data)
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	id := s.next
	s.next++
	dom0 := s.host.Domain(0)
	if _, err := tpmif.Attach(ctx, dom0.Store, tpmif.Device{Front: id, Back: s.back, UUID: u.String()}); err != nil {
		s.t.Fatal(err)
	}
	err := VTPM(ctx, s.environment(id, disk, ""))
	dom0.Store.Remove(ctx, fmt.Sprintf("/local/domain/%d/device/vtpm", id))
	if !bytes.Equal(before, disk.Data) {
		s.t.Error("the disk of a vTPM that is refused was written")
	}
	return err
}

// labels are events of a Xen that has a policy.
type labels struct {
	xen.Events
	mu    sync.Mutex
	of    map[xen.DomID]string
	ports map[xen.Port]xen.DomID
}

func (l *labels) BindInterdomain(peer xen.DomID, port xen.Port) (xen.Channel, error) {
	c, err := l.Events.BindInterdomain(peer, port)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ports[c.Port()] = peer
	}
	return c, err
}

func (l *labels) PeerLabel(p xen.Port) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[l.ports[p]], nil
}

func (l *labels) set(id xen.DomID, label string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[id] = label
}

// TestAttackImages puts on the vTPM's disk what an attacker can put there: it
// says why it does not take it, the other vTPM is served, and so is this one with
// its own disk.
func TestAttackImages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		attack func(s *site, old []byte)
		want   error
	}{
		{"old image", func(s *site, old []byte) { copy(s.victim.disk.Data, old) }, statedisk.ErrStale},
		{"another vTPM's image", func(s *site, _ []byte) { copy(s.victim.disk.Data, s.other.disk.Data) }, statedisk.ErrForeign},
		{"another vTPM's state under the own header", func(s *site, _ []byte) {
			d := s.victim.disk.Data
			for _, at := range []int{0, len(d) / 2} {
				copy(d[at+512:at+len(d)/2], s.other.disk.Data[at+512:])
			}
		}, statedisk.ErrCorrupt},
		{"old state under the newest header", func(s *site, old []byte) {
			d := s.victim.disk.Data
			for _, at := range []int{0, len(d) / 2} {
				copy(d[at+512:at+len(d)/2], old[at+512:])
			}
		}, statedisk.ErrCorrupt},
		{"blank disk", func(s *site, _ []byte) { clear(s.victim.disk.Data) }, statedisk.ErrBlank},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			old := bytes.Clone(s.victim.disk.Data)
			s.served(s.victim)
			s.served(s.victim) // over both slots
			newest := bytes.Clone(s.victim.disk.Data)
			c.attack(s, old)
			if err := s.refused(s.victim.uuid, s.victim.disk); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			s.served(s.other)
			copy(s.victim.disk.Data, newest)
			s.served(s.victim)
		})
	}
}

// TestAttackSwapped swaps the disks of two vTPMs: neither is served, until they
// are back.
func TestAttackSwapped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, v := range [][2]*target{{s.victim, s.other}, {s.other, s.victim}} {
		if err := s.refused(v[0].uuid, v[1].disk); !errors.Is(err, statedisk.ErrForeign) {
			t.Errorf("%v with the disk of %v: %v", v[0].uuid, v[1].uuid, err)
		}
	}
	s.served(s.victim)
	s.served(s.other)
}

// TestAttackOldDisks puts the manager's disk of before back, with the vTPM's and
// without: the manager serves nobody, and with the newest ones everybody.
func TestAttackOldDisks(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprintf("both=%v", both), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.end()
			oldManager, oldVTPM := bytes.Clone(s.mgrDisk.Data), bytes.Clone(s.victim.disk.Data)
			s.start("")
			s.served(s.victim)
			s.end()
			manager, image := bytes.Clone(s.mgrDisk.Data), bytes.Clone(s.victim.disk.Data)
			copy(s.mgrDisk.Data, oldManager)
			if both {
				copy(s.victim.disk.Data, oldVTPM)
			}
			e := s.environment(s.next, s.mgrDisk, "")
			s.next++
			if err := Manager(s.ctx, e, s.hw); !errors.Is(err, ledger.ErrRolledBack) {
				t.Errorf("%v", err)
			}
			copy(s.mgrDisk.Data, manager)
			copy(s.victim.disk.Data, image)
			s.start("")
			s.served(s.victim)
			s.served(s.other)
		})
	}
}

// TestAttackDomains has domains that are not what the record wants ask for the
// vTPM: each is refused for its own reason, which the manager's console and
// status say.
func TestAttackDomains(t *testing.T) {
	t.Parallel()
	const label = "system_u:system_r:vtpm_t"
	image := sha256.Sum256([]byte("the vTPM's image"))
	measure := func(s *site, image [32]byte) {
		s.admin(testHost, func(c *proto.Client) error { return c.Measured(uint16(s.next), image) })
	}
	grouped := func(s *site, labels string) {
		s.admin(testAdmin, func(c *proto.Client) error {
			return c.AmendGroup(&proto.Group{Name: "default", Labels: labels})
		})
	}
	wantImage := func(s *site, image [32]byte) {
		s.admin(testAdmin, func(c *proto.Client) error {
			return c.Amend(&proto.Enrollment{UUID: s.victim.uuid, Image: image})
		})
	}
	for _, c := range []struct {
		name   string
		attack func(s *site) vtpmmgr.UUID
		right  func(s *site) // what the domain that is served has, nil: nothing
		want   proto.Code
	}{
		{"no label", func(s *site) vtpmmgr.UUID {
			grouped(s, label)
			return s.victim.uuid
		}, func(s *site) { s.labels.set(s.next, label) }, proto.WrongLabel},
		{"wrong label", func(s *site) vtpmmgr.UUID {
			grouped(s, label)
			s.labels.set(s.next, "system_u:system_r:domU_t")
			return s.victim.uuid
		}, func(s *site) { s.labels.set(s.next, label) }, proto.WrongLabel},
		{"not measured", func(s *site) vtpmmgr.UUID {
			wantImage(s, image)
			return s.victim.uuid
		}, func(s *site) { measure(s, image) }, proto.NotMeasured},
		{"another image", func(s *site) vtpmmgr.UUID {
			wantImage(s, image)
			measure(s, sha256.Sum256([]byte("another image")))
			return s.victim.uuid
		}, func(s *site) { measure(s, image) }, proto.WrongImage},
		{"suspended", func(s *site) vtpmmgr.UUID {
			s.admin(testAdmin, func(c *proto.Client) error { return c.Suspend(s.victim.uuid) })
			return s.victim.uuid
		}, func(s *site) {
			s.admin(testAdmin, func(c *proto.Client) error { return c.Resume(s.victim.uuid) })
		}, proto.Suspended},
		{"not enrolled", func(*site) vtpmmgr.UUID { return vtpmmgr.UUID{77} }, nil, proto.NotEnrolled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			u := c.attack(s)
			if err := s.refused(u, s.victim.disk); err == nil || !strings.Contains(err.Error(), "manager") {
				t.Errorf("refused: %v", err)
			}
			if !s.said(c.want.Error()) {
				t.Errorf("the manager does not say %q", c.want.Error())
			}
			s.admin(testAdmin, func(c2 *proto.Client) error {
				status, err := c2.Status()
				if name := fmt.Sprintf("refused-%d", uint32(c.want)); err == nil && status[name] == "" {
					t.Errorf("status has no %s: %v", name, status)
				}
				return err
			})
			for _, v := range []*target{s.other, s.victim} {
				if c.right != nil && (v == s.victim || c.want == proto.WrongLabel) {
					c.right(s)
				}
				s.served(v)
			}
		})
	}
}

// TestAttackTwice starts a second domain of the vTPM, on a copy of its disk, while
// the first one is served: there are never two.
func TestAttackTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	clone := blocktest.NewMem(len(s.victim.disk.Data))
	copy(clone.Data, s.victim.disk.Data)
	g, stop := s.guest(s.victim.uuid, s.victim.disk)
	s.victim.count = counter{0x01800002}.increment(t, g)
	if err := s.refused(s.victim.uuid, clone); err == nil || !s.said(proto.Busy.Error()) {
		t.Errorf("second domain: %v", err)
	}
	s.victim.count = counter{0x01800002}.increment(t, g)
	stop()
	s.served(s.other)
	s.served(s.victim)
	// Later it is only an old disk.
	if err := s.refused(s.victim.uuid, clone); !errors.Is(err, statedisk.ErrStale) {
		t.Errorf("the copy later: %v", err)
	}
}
