package service

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/tpmif"
	"stubtpm/vtpmmgr"
)

// Manager runs the vTPM manager until the toolstack stops the domain.
//
// Parameters of the command line that make or move a ledger; all but init without a value
// take effect once:
//
//	init          make a new ledger on a blank disk; any other disk is refused
//	admin=HEX     with init, required: Ed25519 public key that signs orders
//	host=HEX      with init: Ed25519 public key that signs measurements of domains
//	pcrs=0,7      with init: PCRs of the hardware TPM to seal the root key to
//	operator=04…  with init: P-256 public key, uncompressed, that may approve other
//	              values of these PCRs
//	restore=HEX   open an old copy of the disk in a new epoch: the administrator's
//	              signature of what the refusal without this parameter names
//	move=HEX      move to new NV indices if they are gone, worn out or another's: the
//	              administrator's signature of what the refusal without this
//	              parameter, or with move alone, names
//
// Parameters of each start:
//
//	guard=budget  rollback protection mode (docs/ledger-format.md): as many NV writes
//	              as the chip endures for the wanted years; the default with init
//	guard=strict  one NV write for each commit
//	guard=5s      an NV write at most so much later. A mode that is weaker than the
//	              ledger's is ignored
//	endurance=N   writes that the hardware TPM's NV memory endures: 100000
//	years=N       wanted lifetime of the NV memory: 5
//	commits=N     sustained commits per second of each vTPM: 32, or one in ten
//	              seconds with guard=strict
//	ownerauth=HEX authorization value of the hardware TPM's owner hierarchy
//	anchor-pcr=N  PCR that links commits in budget mode: 15
//	crl=URL       where the revocation list of the vTPMs' certificates will be; the
//	              certificates name it
func Manager(ctx context.Context, e *Environment, tpm transport.TPM) error {
	e = e.withLimitedLog()
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	disk, err := e.Disk(start)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	e.Log("disk of %d KiB", disk.Size()>>10)
	cfg := vtpmmgr.Config{TPM: tpm, Disk: disk, Log: e.Log, Seed: e.Seed, CheckProfile: checkProfile}
	if err := e.protection(&cfg); err != nil {
		return err
	}
	if cfg.OwnerAuth, err = e.ownerAuth(); err != nil {
		return err
	}
	if cfg.CRL, err = e.crl(); err != nil {
		return err
	}
	m, err := e.openManager(cfg)
	if err != nil {
		return err
	}
	// Close makes the last checkpoint.
	defer func() {
		if err := m.Close(); err != nil {
			e.Log("%v", err)
		}
	}()
	if seed, err := m.Random(64); err != nil {
		return err
	} else {
		e.Seed(seed)
	}
	e.Log("ledger is open")
	server := tpmif.Server{Domain: e.Domain, Handler: managerHandler{m}, Log: e.Log}
	e.Log("ready")
	e.ReportState(ctx, "ready")
	return e.serveUntilShutdown(ctx, server.Run)
}

// openManager makes, opens, restores or moves the ledger, as the parameters say.
func (e *Environment) openManager(cfg vtpmmgr.Config) (*vtpmmgr.Manager, error) {
	_, init := e.parameter("init")
	signature, err := e.hex("restore", ed25519.SignatureSize)
	word, moves := e.parameter("move")
	var move []byte
	if err == nil && word != "" {
		move, err = e.hex("move", ed25519.SignatureSize)
	}
	switch {
	case err != nil:
		return nil, err
	case !init && signature != nil:
		return vtpmmgr.OpenRestored(cfg, signature)
	case !init && moves:
		return vtpmmgr.OpenMoved(cfg, move)
	case !init:
		return vtpmmgr.Open(cfg)
	}
	var s vtpmmgr.Setup
	if s.Admin, err = e.hex("admin", ed25519.PublicKeySize); err != nil {
		return nil, err
	}
	if s.Host, err = e.hex("host", ed25519.PublicKeySize); err != nil {
		return nil, err
	}
	if s.PCRs, err = e.pcrs(); err != nil {
		return nil, err
	}
	if s.Operator, err = e.operator(); err != nil {
		return nil, err
	}
	return vtpmmgr.Initialize(cfg, s)
}

// A managerHandler serves each connection with a session of the manager.
type managerHandler struct{ m *vtpmmgr.Manager }

func (h managerHandler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	uuid, err := vtpmmgr.ParseUUID(p.UUID)
	if err != nil {
		return nil, err
	}
	s, err := h.m.Open(vtpmmgr.Peer{Domain: uint16(p.Domain), UUID: uuid, Label: p.Label})
	if err != nil {
		return nil, err
	}
	return managerConn{s}, nil
}

type managerConn struct{ s *vtpmmgr.Session }

func (c managerConn) Execute(_ uint8, message []byte) []byte { return c.s.Execute(message) }
func (c managerConn) Cancel()                                {}
func (c managerConn) Close()                                 { c.s.Close() }
