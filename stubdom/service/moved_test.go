package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/identity"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// certified has a certification authority certify the managers of hosts.
func certified(t *testing.T, hosts ...*site) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	terms := cert.Terms{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	root, err := cert.Site(key, "site", terms)
	if err != nil {
		t.Fatal(err)
	}
	by := cert.Issuer{Key: key}
	if by.Certificate, err = x509.ParseCertificate(root); err != nil {
		t.Fatal(err)
	}
	terms.NotAfter = by.Certificate.NotAfter
	for _, h := range hosts {
		h.admin(testAdmin, func(c *proto.Client) error {
			b, err := c.IdentityRequest([32]byte{7}, 1)
			if err != nil {
				return err
			}
			r, err := identity.ParseRequest(b)
			if err != nil {
				return err
			}
			ak, _, err1 := cert.ParsePublic(r.AK)
			_, own, err2 := cert.ParsePublic(r.Certifier)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			name, err := tpm2.ObjectName(ak)
			if err != nil {
				return err
			}
			der, err := by.Host(own, &cert.HostClaims{Manager: r.Manager, AK: name.Buffer, Image: [32]byte{7}, SecurityVersion: 1}, terms)
			if err != nil {
				return err
			}
			return c.IdentityCertificate([][]byte{der, root})
		})
	}
}

// step has a manager do a step of the victim's move.
func (s *site) step(step proto.MoveStep, message []byte) (out []byte) {
	s.t.Helper()
	s.admin(testAdmin, func(c *proto.Client) (err error) {
		out, err = c.Move(step, s.victim.uuid, message)
		return err
	})
	return out
}

// TestMovedGuest moves the TPM of a guest that is saved to another host, and back: the guest
// finds its PCRs, its endorsement key and its counters there; the vTPM that stayed frozen at
// the first host answers nothing any more, and one that starts there says why it ends.
func TestMovedGuest(t *testing.T) {
	t.Parallel()
	a, b := newSite(t), newSite(t)
	b.admin(testAdmin, func(c *proto.Client) error { return c.Destroy(b.victim.uuid) })
	certified(t, a, b)
	disk, u := a.victim.disk, a.victim.uuid
	id, end := a.boot(u, disk)
	g := guest{a.ctx, a.attach(a.next, id, u.String())}
	a.next++
	if err := g.extend(); err != nil {
		t.Fatal(err)
	}
	for _, hosts := range [][2]*site{{a, b}, {b, a}} {
		from, to := hosts[0], hosts[1]
		before, pcr := look(t, g), g.pcr8(t)

		request := from.step(proto.MoveRequest, nil)
		offer, err := transfer.ParseOffer(to.step(proto.MoveGive, request))
		if err != nil {
			t.Fatal(err)
		}
		order := (&transfer.Order{Signature: [64]byte(ed25519.Sign(testAdmin, offer.Approval())), Offer: *offer}).Append(nil)
		from.admin(testAdmin, func(c *proto.Client) error {
			_, err := c.Move(proto.MoveGive, u, order)
			var why proto.MoveError
			if !errors.As(err, &why) || transfer.Reason(why) != transfer.NotFrozen {
				t.Errorf("while the TPM runs: %v", err)
			}
			return nil
		})
		var token [32]byte
		hex.Decode(token[:], []byte(strings.Fields(from.freezeOf(id))[2]))
		handover := from.step(proto.MoveGive, order)
		copied := &blocktest.Mem{Data: bytes.Clone(disk.Data)}
		release := from.step(proto.MoveGive, to.step(proto.MoveGive, handover))

		// The frozen one is thawed: its commit is refused, and it answers nothing.
		answered := make(chan error, 1)
		stale := g
		go func() { answered <- stale.extend() }()
		if v := from.thawOf(id); !strings.Contains(v, "moved") {
			t.Errorf("thawed at the host that it left: %q", v)
		}
		select {
		case err := <-answered:
			var rc tpm2.TPMRC
			if !errors.As(err, &rc) {
				t.Errorf("an answer of the vTPM that was left: %v", err)
			}
		case <-time.After(100 * time.Millisecond):
		}
		if err := from.refused(u, disk); !errors.Is(err, proto.Moving) || !strings.Contains(err.Error(), "move list") {
			t.Errorf("a start where it left: %v", err)
		}
		end()
		if err := to.refused(u, copied); !errors.Is(err, proto.Moving) {
			t.Errorf("a start before the release: %v", err)
		}
		to.step(proto.MoveGive, release)

		disk = copied
		id, end = to.boot(u, disk)
		front := to.next
		to.next++
		to.admin(testHost, func(c *proto.Client) error { return c.Restored(uint16(front), u, token) })
		g = guest{to.ctx, to.attach(front, id, u.String())}
		if now := g.pcr8(t); now != pcr {
			t.Error("PCR 8 is another")
		}
		after := look(t, g)
		if after.key != before.key || after.restores != before.restores || after.resetCount != before.resetCount || after.clock < before.clock || after.tries != before.tries {
			t.Errorf("it was %+v, and is %+v", before, after)
		}
	}
	end()
}
