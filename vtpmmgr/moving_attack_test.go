package vtpmmgr

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/cert"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

// attest returns evidence of a host for a message's hash and a nonce.
func (h *transferHost) attest(message, nonce transfer.Hash) []byte {
	h.t.Helper()
	b, err := (&mover{m: h.m, labels: true}).Attest(message, nonce)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// third is another host, of the world's site or of one of its own.
func (w *transferWorld) third(site *testSite) *transferHost {
	return newTransferHost(w.t, hardwareTPM(w.t), site, ledger.Mode{}, 4)
}

// orderOf returns an order, signed, of the offer after a change, with evidence of a host.
func (w *transferWorld) orderOf(h *transferHost, change func(*transfer.Terms)) []byte {
	w.t.Helper()
	w.upTo('o')
	o, err := transfer.ParseOffer(w.offer)
	w.must(err)
	change(&o.Terms)
	o.Evidence = h.attest(o.Hash(), o.SourceNonce)
	return signOffer(w.t, o.Append(nil), testApprover)
}

// noteBy returns a receipt, refusal or release after a change of its body, with evidence of a
// host. Its layout is in docs/moves.md, "Bytes".
func (w *transferWorld) noteBy(h *transferHost, note []byte, nonce transfer.Hash, change func(body []byte)) []byte {
	w.t.Helper()
	body := bytes.Clone(note[:3+4*16+2*32])
	change(body)
	e := h.attest(sha256.Sum256(append([]byte("stubtpm move 1\x00"), body...)), nonce)
	return append(binary.BigEndian.AppendUint16(body, uint16(len(e))), e...)
}

func (w *transferWorld) terms() *transfer.Terms {
	o, err := transfer.ParseOffer(w.offer)
	w.must(err)
	return &o.Terms
}

func unchanged([]byte) {}

// refusing makes a receipt's body a refusal's.
func refusing(body []byte) {
	body[0], body[2] = byte(transfer.KindRefusal), byte(transfer.Withdrawn)
	clear(body[3+4*16+32:])
}

func (w *transferWorld) rules(r transfer.Rules) {
	w.t.Helper()
	w.must(w.a.as(testApprover).SetTargets(w.u, r.Append(nil)))
}

// A transferAttack ends with a step that is refused by a manager, or answered by a refusal.
type transferAttack struct {
	name string
	want error
	run  func(w *transferWorld) (answer []byte, err error)
}

func transferAttacks() []transferAttack {
	give := func(h *transferHost, w *transferWorld, b []byte) ([]byte, error) { return h.give(w.u, b) }
	asIs := func(*transfer.Terms) {}
	return []transferAttack{
		{"man in the middle, target's evidence and another key", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			o, _ := transfer.ParseOffer(w.upTo('o').offer)
			o.Terms.Key[3] ^= 1
			return give(w.a, w, signOffer(w.t, o.Append(nil), testApprover))
		}},
		{"target of another site", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.orderOf(w.third(newTestSite(w.t)), asIs))
		}},
		{"another manager of the site", transfer.OtherPeer, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.orderOf(w.third(w.site), asIs))
		}},
		{"target's evidence for another nonce", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			o, _ := transfer.ParseOffer(w.upTo('o').offer)
			o.Evidence = w.b.attest(o.Hash(), transfer.Hash{1})
			return give(w.a, w, signOffer(w.t, o.Append(nil), testApprover))
		}},
		{"target with an image that is not allowed", transfer.NotAllowed, func(w *transferWorld) ([]byte, error) {
			w.rules(transfer.Rules{Images: []transfer.Hash{{5}}})
			return give(w.a, w, w.upTo('O').order)
		}},
		{"target with an old image", transfer.NotAllowed, func(w *transferWorld) ([]byte, error) {
			w.rules(transfer.Rules{SecurityVersion: 5})
			return give(w.a, w, w.upTo('O').order)
		}},
		{"target that is not allowed", transfer.NotAllowed, func(w *transferWorld) ([]byte, error) {
			w.rules(transfer.Rules{Managers: []transfer.ID{{5}}})
			return give(w.a, w, w.upTo('O').order)
		}},
		{"target at a place that is not allowed", transfer.NotAllowed, func(w *transferWorld) ([]byte, error) {
			w.rules(transfer.Rules{Places: []transfer.Hash{{5}}})
			return give(w.a, w, w.upTo('O').order)
		}},
		{"target without security labels", transfer.NotAllowed, func(w *transferWorld) ([]byte, error) {
			w.rules(transfer.Rules{Labels: true})
			w.upTo('r')
			s, err := w.b.m.Open(Peer{}) // where Xen enforces none
			w.must(err)
			c := &proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
			w.offer, err = c.Move(proto.MoveGive, w.u, w.request)
			w.must(err)
			return give(w.a, w, signOffer(w.t, w.offer, testApprover))
		}},
		{"order that nobody signed", transfer.Unapproved, func(w *transferWorld) ([]byte, error) {
			o, _ := transfer.ParseOffer(w.upTo('o').offer)
			return give(w.a, w, (&transfer.Order{Offer: *o}).Append(nil))
		}},
		{"order of the administrator for a tenant's vTPM", transfer.Unapproved, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, signOffer(w.t, w.upTo('o').offer, testAdmin))
		}},
		{"order of the host", transfer.Unapproved, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, signOffer(w.t, w.upTo('o').offer, testHost))
		}},
		{"rules set by the administrator", proto.Unsigned, func(w *transferWorld) ([]byte, error) {
			return nil, w.a.as(testAdmin).SetTargets(w.u, (&transfer.Rules{}).Append(nil))
		}},
		{"order for another vTPM", transfer.WrongVTPM, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.orderOf(w.b, func(t *transfer.Terms) { t.VTPM[0]++ }))
		}},
		{"order for another source", transfer.WrongSource, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.orderOf(w.b, func(t *transfer.Terms) { t.Source[0]++ }))
		}},
		{"order to move a vTPM to where it is", transfer.SameManager, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.orderOf(w.a, func(t *transfer.Terms) { t.Target = t.Source }))
		}},
		{"offer for an earlier request", transfer.NonceUsed, func(w *transferWorld) ([]byte, error) {
			w.upTo('O')
			w.must(w.a.restart())
			return give(w.a, w, w.order)
		}},
		{"offer that was refused, given again", transfer.NonceUsed, func(w *transferWorld) ([]byte, error) {
			w.upTo('h')
			out, err := w.b.step(proto.MoveRefuse, w.u, w.offer)
			w.must(err)
			w.must(second(w.a.give(w.u, out)))
			return give(w.a, w, w.order)
		}},
		{"order while the vTPM runs", transfer.NotFrozen, func(w *transferWorld) ([]byte, error) {
			c, end := w.a.vtpm(w.u)
			defer end()
			w.must(second(c.Load()))
			w.must(c.CommitUrgent(testState(4)))
			return give(w.a, w, w.upTo('O').order)
		}},
		{"order after the manager has forgotten whether it runs", transfer.NotFrozen, func(w *transferWorld) ([]byte, error) {
			w.must(w.a.restart())
			return give(w.a, w, w.upTo('O').order)
		}},
		{"order for a vTPM that the administrator suspended", proto.Suspended, func(w *transferWorld) ([]byte, error) {
			w.must(w.a.as(testAdmin).Suspend(w.u))
			w.upTo('O')
			out, err := give(w.a, w, w.order)
			w.must(w.a.as(testAdmin).Resume(w.u))
			return out, err
		}},
		{"second order for another offer", transfer.AlreadySent, func(w *transferWorld) ([]byte, error) {
			w.upTo('h')
			o, _ := transfer.ParseOffer(w.offer)
			o.Move[0]++
			o.Evidence = w.b.attest(o.Hash(), o.SourceNonce)
			return give(w.a, w, signOffer(w.t, o.Append(nil), testApprover))
		}},
		{"order of a recorded move after its end", transfer.NotLive, func(w *transferWorld) ([]byte, error) {
			return give(w.a, w, w.upTo('e').order)
		}},
		{"sealed record changed", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			h, _ := transfer.ParseHandover(w.upTo('h').handover)
			h.Sealed[40] ^= 1
			return give(w.b, w, h.Append(nil))
		}},
		{"sealed record changed by a source", transfer.Undecryptable, func(w *transferWorld) ([]byte, error) {
			h, _ := transfer.ParseHandover(w.upTo('h').handover)
			h.Sealed[40] ^= 1
			h.Evidence = w.a.attest(h.Hash(), h.TargetNonce)
			return give(w.b, w, h.Append(nil))
		}},
		{"handover of another manager of the site", transfer.OtherPeer, func(w *transferWorld) ([]byte, error) {
			h, _ := transfer.ParseHandover(w.upTo('h').handover)
			h.Evidence = w.third(w.site).attest(h.Hash(), h.TargetNonce)
			return give(w.b, w, h.Append(nil))
		}},
		{"handover given to another target", transfer.WrongTarget, func(w *transferWorld) ([]byte, error) {
			return give(w.third(w.site), w, w.upTo('h').handover)
		}},
		{"replay of a whole recorded move", transfer.UnknownMove, func(w *transferWorld) ([]byte, error) {
			w.upTo('e')
			w.freeze(w.b, w.u, 5)
			w.back().upTo('e')
			return give(w.b, w, w.handover)
		}},
		{"target with other keys in its hardware TPM", transfer.KeyWithheld, func(w *transferWorld) ([]byte, error) {
			w.upTo('h').b.certify(w.site, 9)
			return give(w.b, w, w.handover)
		}},
		{"group of the same name with another approver", transfer.Unapproved, func(w *transferWorld) ([]byte, error) {
			other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
			w.must(w.b.as(testApprover).AmendGroup(&proto.Group{ID: w.b.group, Name: "mail", Approver: [32]byte(public(other))}))
			return give(w.b, w, w.upTo('h').handover)
		}},
		{"no such group at the target", transfer.NotTaken, func(w *transferWorld) ([]byte, error) {
			w.must(w.b.as(testApprover).AmendGroup(&proto.Group{ID: w.b.group, Name: "web", Approver: [32]byte(public(testApprover))}))
			return give(w.b, w, w.upTo('h').handover)
		}},
		{"group without room at the target", transfer.NotTaken, func(w *transferWorld) ([]byte, error) {
			w.must(w.b.as(testAdmin).SetQuota(w.b.group, 1))
			w.must(w.b.as(testApprover).Enroll(&proto.Enrollment{UUID: UUID{7}, Group: w.b.group}))
			return give(w.b, w, w.upTo('h').handover)
		}},
		{"vTPM with the same UUID at the target", transfer.LiveHere, func(w *transferWorld) ([]byte, error) {
			w.upTo('e')
			return give(w.b, w, (&transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID(w.u)}).Append(nil))
		}},
		{"vTPM with the same UUID, enrolled while the other one comes", transfer.LiveHere, func(w *transferWorld) ([]byte, error) {
			w.upTo('o')
			w.must(w.b.as(testAdmin).Enroll(&proto.Enrollment{UUID: w.u}))
			w.order = signOffer(w.t, w.offer, testApprover)
			out, err := give(w.a, w, w.order)
			w.must(err)
			out, err = give(w.b, w, out)
			w.must(w.b.as(testAdmin).Destroy(w.u))
			return out, err
		}},
		{"offer wanted for a vTPM that is on its way", transfer.BeingReceived, func(w *transferWorld) ([]byte, error) {
			return give(w.upTo('a').b, w, (&transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID(w.u)}).Append(nil))
		}},
		{"offer wanted for a vTPM that is being sent", transfer.BeingSent, func(w *transferWorld) ([]byte, error) {
			return give(w.upTo('h').a, w, (&transfer.Request{Source: transfer.ID{1}, VTPM: transfer.ID(w.u)}).Append(nil))
		}},
		{"receipt made into a refusal", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			b := bytes.Clone(w.upTo('a').answer)
			refusing(b[:3+4*16+2*32])
			return give(w.a, w, b)
		}},
		{"receipt of another manager of the site", transfer.OtherPeer, func(w *transferWorld) ([]byte, error) {
			w.upTo('a')
			return give(w.a, w, w.noteBy(w.third(w.site), w.answer, w.terms().SourceNonce, unchanged))
		}},
		{"receipt for other bytes", transfer.OtherHandover, func(w *transferWorld) ([]byte, error) {
			w.upTo('a')
			return give(w.a, w, w.noteBy(w.b, w.answer, w.terms().SourceNonce, func(b []byte) { b[len(b)-1] ^= 1 }))
		}},
		{"receipt for another offer", transfer.OtherOffer, func(w *transferWorld) ([]byte, error) {
			w.upTo('a')
			return give(w.a, w, w.noteBy(w.b, w.answer, w.terms().SourceNonce, func(b []byte) { b[3+4*16] ^= 1 }))
		}},
		{"refusal of an earlier move", transfer.NotSent, func(w *transferWorld) ([]byte, error) {
			w.upTo('h')
			out, err := w.b.step(proto.MoveRefuse, w.u, w.offer)
			w.must(err)
			w.must(second(w.a.give(w.u, out)))
			w.upTo('h')
			return give(w.a, w, out)
		}},
		{"refusal after the receipt", transfer.AlreadyGone, func(w *transferWorld) ([]byte, error) {
			w.upTo('R')
			return give(w.a, w, w.noteBy(w.b, w.answer, w.terms().SourceNonce, refusing))
		}},
		{"target asked to refuse after the receipt", transfer.ReceiptGiven, func(w *transferWorld) ([]byte, error) {
			return w.upTo('a').b.step(proto.MoveRefuse, w.u, w.offer)
		}},
		{"release of a host of another site", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			w.upTo('a')
			return give(w.b, w, w.noteBy(w.third(newTestSite(w.t)), w.answer, w.terms().TargetNonce, func(b []byte) { b[0] = byte(transfer.KindRelease) }))
		}},
		{"release that the target makes itself", transfer.OtherPeer, func(w *transferWorld) ([]byte, error) {
			w.upTo('a')
			return give(w.b, w, w.noteBy(w.b, w.answer, w.terms().TargetNonce, func(b []byte) { b[0] = byte(transfer.KindRelease) }))
		}},
		{"release of an earlier move", transfer.NotReceived, func(w *transferWorld) ([]byte, error) {
			w.upTo('e')
			w.freeze(w.b, w.u, 5)
			w.back().upTo('e')
			release := w.release
			w.freeze(w.a, w.u, 7)
			w.upTo('a')
			return give(w.b, w, release)
		}},
		{"message of another version", transfer.WrongVersion, func(w *transferWorld) ([]byte, error) {
			b := bytes.Clone(w.upTo('O').order)
			b[1]++
			return give(w.a, w, b)
		}},
		{"message of another kind", transfer.WrongKind, func(w *transferWorld) ([]byte, error) {
			return give(w.b, w, w.upTo('o').offer)
		}},
		{"message cut off", transfer.Malformed, func(w *transferWorld) ([]byte, error) {
			b := w.upTo('h').handover
			return give(w.b, w, b[:len(b)-1])
		}},
		{"certificates made for the target by a manager", transfer.Unattested, func(w *transferWorld) ([]byte, error) {
			// A host's key vouches for vTPMs only.
			h := w.third(newTestSite(w.t))
			h.certifyBy(w.third(w.site), w.b.m.id)
			return give(w.a, w, w.orderOf(h, asIs))
		}},
	}
}

// TestTransferAttacks: each is refused with a reason of its own, and in the end one vTPM can
// be loaded.
func TestTransferAttacks(t *testing.T) {
	t.Parallel()
	for _, a := range transferAttacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			w := newTransferWorld(t, ledger.Mode{Daily: 54})
			answer, err := a.run(w)
			if err == nil && len(answer) != 0 {
				why, refused := transfer.Refused(answer)
				if !refused {
					t.Fatal("not refused")
				}
				err = why
			} else if why := reasonOf(err); why != 0 {
				err = why
			}
			if !errors.Is(err, a.want) {
				t.Fatalf("%v, want %v", err, a.want)
			}
			if n := w.finish(); n != 1 {
				t.Errorf("%d can be loaded in the end", n)
			}
		})
	}
}

// certifyBy has another host's certification key make a certificate of a manager for this
// host's key.
func (h *transferHost) certifyBy(other *transferHost, claim [16]byte) {
	h.t.Helper()
	id := *h.m.known()
	own, err := other.m.signedHost(&id, claim)
	if err != nil {
		h.t.Fatal(err)
	}
	by := other.m.known()
	id.certificate, id.chain = own, append([][]byte{by.certificate}, by.chain...)
	h.m.mu.Lock()
	h.m.identity = &id
	h.m.mu.Unlock()
}

// signedHost returns a certificate that says that the keys of h are a manager's.
func (m *Manager) signedHost(h *hostIdentity, claim [16]byte) (der []byte, err error) {
	parent, err := x509.ParseCertificate(m.known().certificate)
	if err != nil {
		return nil, err
	}
	_, key, err := cert.ParsePublic(h.certifier.Public)
	if err != nil {
		return nil, err
	}
	name, err := h.akName()
	if err != nil {
		return nil, err
	}
	err = m.tpm.Lend("test", func(bus transport.TPM) error {
		signer, err := m.host(m.known(), bus).Signer()
		if err != nil {
			return err
		}
		now := time.Now()
		der, err = (&cert.Issuer{Certificate: parent, Key: signer}).Host(key, &cert.HostClaims{Manager: claim, AK: name, Image: [32]byte{4}, SecurityVersion: 4},
			cert.Terms{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute)})
		return err
	})
	return der, err
}
