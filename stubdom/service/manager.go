package service

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/tpmif"
	"stubtpm/vtpmmgr"
)

// defaultPCRs are those to which the manager's root key is sealed if the
// command line names none: what firmware measured of itself and its
// configuration.
var defaultPCRs = []uint{0, 1, 2, 3, 4, 5, 7}

// Manager runs the vTPM manager until the toolstack stops the domain. Words of
// the command line:
//
//	init         make a new ledger on a blank disk; refused on any other
//	pcrs=0,7     with init: PCRs of the hardware TPM to seal the root key to
func Manager(ctx context.Context, e *Environment, tpm transport.TPM) error {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	disk, err := e.Disk(start)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	e.Log("disk of %d KiB", disk.Size()>>10)
	cfg := vtpmmgr.Config{TPM: tpm, Disk: disk, Log: e.Log}
	var m *vtpmmgr.Manager
	if _, init := e.option("init"); init {
		if cfg.PCRs, err = e.pcrs(); err != nil {
			return err
		}
		m, err = vtpmmgr.Initialise(cfg)
	} else {
		m, err = vtpmmgr.Open(cfg)
	}
	if err != nil {
		return err
	}
	if seed, err := m.Random(64); err != nil {
		return err
	} else {
		e.Seed(seed)
	}
	e.Log("ledger is open")
	server := tpmif.Server{Domain: e.Domain, Handler: managerHandler{m}, Log: e.Log}
	e.Log("ready")
	e.Tell(ctx, "ready")
	return e.until(ctx, server.Run)
}

func (e *Environment) pcrs() ([]uint, error) {
	list, given := e.option("pcrs")
	if !given {
		return defaultPCRs, nil
	}
	var pcrs []uint
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil || n >= 24 {
			return nil, fmt.Errorf("pcrs=%s: %q is not a PCR", list, s)
		}
		pcrs = append(pcrs, uint(n))
	}
	return pcrs, nil
}

// A managerHandler gives each connection a session of the manager.
type managerHandler struct{ m *vtpmmgr.Manager }

func (h managerHandler) Open(p tpmif.Peer) (tpmif.Conn, error) {
	uuid, err := vtpmmgr.ParseUUID(p.UUID)
	if err != nil {
		return nil, err
	}
	s, err := h.m.Open(vtpmmgr.Peer{Domain: uint16(p.Domain), UUID: uuid})
	if err != nil {
		return nil, err
	}
	return managerConn{s}, nil
}

type managerConn struct{ s *vtpmmgr.Session }

func (c managerConn) Execute(_ uint8, message []byte) []byte { return c.s.Execute(message) }
func (c managerConn) Cancel()                                {}
func (c managerConn) Close()                                 { c.s.Close() }
