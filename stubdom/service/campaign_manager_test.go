package service

import (
	"crypto/ed25519"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// testAdmin gives orders to the managers of tests.
var testAdmin = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// How the campaign sets up and starts the manager.

// realManager is the manager as its domain runs it, behind a connection that
// is there.
type realManager struct {
	*vtpmmgr.Manager
	last map[vtpmmgr.UUID]*vtpmmgr.Session
}

func (m *realManager) enroll(u vtpmmgr.UUID, profile string) error {
	s, err := m.Open(vtpmmgr.Peer{})
	if err != nil {
		return err
	}
	defer s.Close()
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }, Key: testAdmin}
	return c.Enroll(&proto.Enrollment{UUID: u, Profile: profile})
}

func (m *realManager) connect(u vtpmmgr.UUID) (func([]byte) []byte, error) {
	if s := m.last[u]; s != nil {
		s.Close()
	}
	s, err := m.Open(vtpmmgr.Peer{Domain: 1, UUID: u})
	if err != nil {
		return nil, err
	}
	m.last[u] = s
	return s.Execute, nil
}

// openManager starts the manager of a disk.
func openManager(bus transport.TPM, disk block.Device, mode ledger.Mode, log func(string, ...any)) (campaignManager, error) {
	m, err := vtpmmgr.Open(vtpmmgr.Config{TPM: bus, Disk: disk, Mode: mode, CommitRate: 1e6, Log: log})
	if err != nil {
		return nil, err
	}
	return &realManager{m, map[vtpmmgr.UUID]*vtpmmgr.Session{}}, nil
}

// newManager initializes one.
func newManager(bus transport.TPM, disk block.Device, mode ledger.Mode, log func(string, ...any)) (campaignManager, error) {
	m, err := vtpmmgr.Initialize(vtpmmgr.Config{TPM: bus, Disk: disk, Mode: mode, CommitRate: 1e6, Log: log},
		vtpmmgr.Setup{Admin: testAdmin.Public().(ed25519.PublicKey), PCRs: []uint{0, 7}})
	if err != nil {
		return nil, err
	}
	return &realManager{m, map[vtpmmgr.UUID]*vtpmmgr.Session{}}, nil
}
