package service

import (
	"crypto/rand"
	"encoding/binary"

	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// How the campaign sets up and starts the manager.

// standIn is the least manager: the ledger, the hardware TPM, and one vTPM.
type standIn struct {
	tpm   *hwtpm.TPM
	store *ledger.Store
}

func (m *standIn) connect() (func([]byte) []byte, error) { return m.execute, nil }

func (m *standIn) execute(b []byte) []byte {
	code, body := m.answer(b)
	return proto.Message(proto.TagResponse, uint32(code), body)
}

func (m *standIn) answer(b []byte) (proto.Code, []byte) {
	_, ordinal, body, err := proto.Parse(b)
	if err != nil {
		return proto.BadMessage, nil
	}
	m.store.Settle()
	id := ledger.ID(campaignUUID)
	record, err := m.store.Get(id)
	if err != nil {
		return proto.Failed, nil
	}
	sequence := binary.BigEndian.Uint64(record)
	switch proto.Ordinal(ordinal) {
	case proto.Load:
		if err := m.store.Settle(); err != nil {
			return proto.Failed, nil
		}
		g := proto.Grant{Manufacture: sequence == 0, UUID: campaignUUID, Sequence: sequence}
		copy(g.Hash[:], record[8:])
		copy(g.Key[:], record[40:])
		return proto.OK, g.Append(nil)
	case proto.Commit:
		if string(body) == string(record) {
			return proto.OK, nil
		}
		if binary.BigEndian.Uint64(body) != sequence+1 {
			return proto.BadSequence, nil
		}
		if err := m.store.Commit(ledger.Change{ID: id, Body: body}); err != nil {
			return proto.Failed, nil
		}
		return proto.OK, nil
	}
	return proto.BadOrdinal, nil
}

func (c *computer) ledgerConfig(key []byte, id [16]byte) ledger.Config {
	return ledger.Config{Disk: c.mgr, Offset: hwtpm.Area, Manager: id, Key: key, Mode: c.mode, Log: c.log}
}

func openCampaignManager(c *computer) (campaignManager, error) {
	t, err := hwtpm.Open(c.chip, hwtpm.Options{Log: c.log})
	if err != nil {
		return nil, err
	}
	r, err := hwtpm.ReadRecord(c.mgr)
	if err != nil {
		return nil, err
	}
	key, err := t.Unlock(r)
	if err != nil {
		return nil, err
	}
	cfg := c.ledgerConfig(key, r.ID())
	cfg.Anchor = t.Anchor()
	s, err := ledger.Open(cfg)
	if err != nil {
		return nil, err
	}
	return &standIn{t, s}, nil
}

// setUpCampaign initialises a manager and enrolls one vTPM.
func setUpCampaign(c *computer) error {
	t, err := hwtpm.Open(c.chip, hwtpm.Options{Log: c.log})
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	id := [16]byte{1}
	r, err := t.Create(id, key, hwtpm.Policy{PCRs: []uint{0, 7}})
	if err != nil {
		return err
	}
	cfg := c.ledgerConfig(key, id)
	cfg.Anchor = t.Anchor()
	s, err := ledger.Format(cfg)
	if err != nil {
		return err
	}
	if err := hwtpm.WriteRecord(c.mgr, r); err != nil {
		return err
	}
	c.manager = &standIn{t, s}
	return s.Commit(ledger.Change{ID: ledger.ID(campaignUUID), Body: make([]byte, 72)})
}
