package service

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/vtpmmgr"
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

func (m *standIn) enroll(u vtpmmgr.UUID) error {
	return m.store.Commit(ledger.Change{ID: ledger.ID(u), Body: make([]byte, 72)})
}

func (m *standIn) connect(u vtpmmgr.UUID) (func([]byte) []byte, error) {
	return func(b []byte) []byte {
		code, body := m.answer(u, b)
		return proto.Message(proto.TagResponse, uint32(code), body)
	}, nil
}

func (m *standIn) answer(u vtpmmgr.UUID, b []byte) (proto.Code, []byte) {
	_, ordinal, body, err := proto.Parse(b)
	if err != nil {
		return proto.BadMessage, nil
	}
	m.store.Settle()
	id := ledger.ID(u)
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
		g := proto.Grant{Manufacture: sequence == 0, UUID: u, Sequence: sequence}
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

// openManager starts the manager of a disk.
func openManager(bus transport.TPM, disk block.Device, mode ledger.Mode, log func(string, ...any)) (campaignManager, error) {
	t, err := hwtpm.Open(bus, hwtpm.Options{Log: log})
	if err != nil {
		return nil, err
	}
	r, err := hwtpm.ReadRecord(disk)
	if err != nil {
		return nil, err
	}
	key, err := t.Unlock(r)
	if err != nil {
		return nil, err
	}
	s, err := ledger.Open(ledger.Config{Disk: disk, Offset: hwtpm.Area, Manager: r.ID(), Key: key, Anchor: t.Anchor(), Mode: mode, Log: log})
	if err != nil {
		return nil, err
	}
	return &standIn{t, s}, nil
}

// newManager initialises one.
func newManager(bus transport.TPM, disk block.Device, mode ledger.Mode, log func(string, ...any)) (campaignManager, error) {
	t, err := hwtpm.Open(bus, hwtpm.Options{Log: log})
	if err != nil {
		return nil, err
	}
	key := make([]byte, hwtpm.KeySize)
	rand.Read(key)
	id := [16]byte{1}
	r, err := t.Create(id, key, hwtpm.Policy{PCRs: []uint{0, 7}})
	if err != nil {
		return nil, err
	}
	s, err := ledger.Format(ledger.Config{Disk: disk, Offset: hwtpm.Area, Manager: id, Key: key, Anchor: t.Anchor(), Mode: mode, Log: log})
	if err != nil {
		return nil, err
	}
	return &standIn{t, s}, hwtpm.WriteRecord(disk, r)
}
