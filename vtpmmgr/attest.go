package vtpmmgr

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// attest makes the manager's part of the evidence about a vTPM: a statement for the
// guest's question, its proof, and the quote of the hardware TPM over both.
func (s *Session) attest(ask *evidence.Ask) (proto.Code, []byte) {
	m := s.m
	m.mu.Lock()
	r, g, code := s.admitted()
	h, c := m.identity, m.certified[s.peer.UUID]
	switch {
	case code != proto.OK:
	case h == nil || m.unusable != nil || c == nil || !m.isCurrent(c, &r, g):
		code = proto.NoIdentity // the statement names certified keys
	case !m.sharesOf(r.uuid).tpm.take(tpmRate, 0, time.Now()):
		code = proto.Rate
	}
	if code != proto.OK {
		m.mu.Unlock()
		return code, nil
	}
	st := s.statement(&r, g, h, c)
	m.mu.Unlock()
	st.Nonce, st.AK = ask.Nonce, ask.AK
	raw, err := st.Marshal()
	if err != nil {
		return s.failed(nil, err)
	}
	q := m.quotes.quote(h, evidence.Leaf(raw), m.quote)
	m.mu.Lock()
	m.sharesOf(r.uuid).tpm.used += q.took.Seconds()
	m.mu.Unlock()
	if q.err != nil {
		return s.failed(nil, q.err)
	}
	e := evidence.Evidence{Statement: raw, Proof: q.proof.Marshal(), Hardware: q.hardware}
	b, err := e.Marshal()
	if err == nil && len(b) > proto.MaxSize-proto.HeaderSize {
		err = errors.New("vtpmmgr: evidence does not fit into a message")
	}
	return s.failed(b, err)
}

// statement is what the manager knows of a vTPM now. m.mu is held.
func (s *Session) statement(r *record, g *group, h *hostIdentity, c *certified) *evidence.Statement {
	m := s.m
	st := &evidence.Statement{Manager: m.id, UUID: r.uuid, Group: r.group, LedgerEpoch: m.store.Epoch(), Epoch: r.epoch,
		Time: uint64(time.Now().Unix()), ManagerImage: h.image, ManagerSecurityVersion: h.version, EKs: c.keys}
	rand.Read(st.Salt[:])
	if i, ok := m.measured[s.peer.Domain]; ok {
		st.Image, st.Measurer = i.hash, i.by
	}
	if s.peer.Label != "" {
		st.Flags |= evidence.XSMEnforcing
		if len(s.peer.Label) <= evidence.MaxLabel {
			st.Label = s.peer.Label
		}
	}
	if g := m.guests[r.uuid]; g.startedIn(s) {
		st.Flags |= evidence.StartMeasured
		if p := g.start.program; p != nil {
			st.Start = evidence.Start{Program: p.Hash, Reporter: g.start.by, Measurer: p.Measurer}
		}
	}
	if g.migratable() {
		st.Flags |= evidence.Migratable
	}
	switch mode := m.store.Mode(); {
	case mode.Daily != 0:
		st.Guard, st.Parameter = evidence.Budget, uint64(mode.Daily)
	case mode.Bounded != 0:
		st.Guard, st.Parameter = evidence.Bounded, uint64(mode.Bounded)
	}
	return st
}

// quote quotes over leaves by the host's attestation key.
func (m *Manager) quote(h *hostIdentity, leaves []evidence.Hash) (b []byte, took time.Duration, err error) {
	nonce := evidence.HardwareNonce(m.id, uint32(len(leaves)), evidence.Root(leaves))
	err = m.tpm.Lend("quote", func(bus transport.TPM) error {
		start := time.Now()
		defer func() { took += time.Since(start) }()
		q, err := m.host(h, bus).Quote(h.policy.PCRs, nonce)
		if err != nil {
			return err
		}
		b, err = q.Marshal()
		return err
	})
	return b, took, err
}
