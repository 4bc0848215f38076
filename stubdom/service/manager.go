package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/tpmif"
	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
)

// defaultPCRs are those to which the manager's root key is sealed if the
// command line names none: what firmware measured of itself and its
// configuration.
var defaultPCRs = []uint{0, 1, 2, 3, 4, 5, 7}

// Manager runs the vTPM manager until the toolstack stops the domain. Words of
// the command line:
//
//	init         make a new ledger on a blank disk; refused on any other
//	admin=HEX    with init, which needs it: the Ed25519 public key that orders
//	             have to be signed with
//	host=HEX     with init: one that may tell which image a domain runs
//	pcrs=0,7     with init: PCRs of the hardware TPM to seal the root key to
//	operator=04… with init: a P-256 public key, uncompressed, in hexadecimal,
//	             that may approve other values of these PCRs
//	restore=HEX  take an old copy of the disk, into a new epoch: the
//	             administrator's signature, of what its refusal without the word
//	             names; it serves once
//	move=HEX     move to new NV indices where they are gone, worn out or another's: the
//	             administrator's signature, of what its refusal without the word, or
//	             with the word alone, names; it serves once
//	guard=budget how commits are tied to the hardware TPM (docs/ledger-format.md): so that
//	             its NV memory lasts for the years that are wanted, or
//	guard=strict by a write of that memory for each, or
//	guard=5s     by one at most so much later. With init, budget if there is no
//	             word. Later a mode that is weaker than the ledger's is not taken
//	endurance=N  writes that the hardware TPM's NV memory bears, 100000 if there is
//	             no word
//	years=N      how long it should last: 5
//	commits=N    commits a second that each vTPM may make for long: 32, and with
//	             guard=strict one in ten seconds
//	ownerauth=HEX the password of the hardware TPM's owner hierarchy, if it has one
//	anchor-pcr=N PCR that links commits in budget mode: 15
func Manager(ctx context.Context, e *Environment, tpm transport.TPM) error {
	e = e.limited()
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	disk, err := e.Disk(start)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	e.Log("disk of %d KiB", disk.Size()>>10)
	cfg := vtpmmgr.Config{TPM: tpm, Disk: disk, Log: e.Log, Seed: e.Seed}
	if err := e.guard(&cfg); err != nil {
		return err
	}
	if cfg.OwnerAuth, err = e.ownerAuth(); err != nil {
		return err
	}
	m, err := e.openManager(cfg)
	if err != nil {
		return err
	}
	// A bounded guard has something to do at the end.
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
	e.Tell(ctx, "ready")
	return e.until(ctx, server.Run)
}

// openManager makes, opens or restores the ledger.
func (e *Environment) openManager(cfg vtpmmgr.Config) (*vtpmmgr.Manager, error) {
	_, init := e.option("init")
	signature, err := e.hex("restore", ed25519.SignatureSize)
	word, moves := e.option("move")
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
	return vtpmmgr.Initialise(cfg, s)
}

// hex reads a word of so many bytes; nil if it is not there.
func (e *Environment) hex(name string, size int) ([]byte, error) {
	word, given := e.option(name)
	if !given {
		return nil, nil
	}
	b, err := hex.DecodeString(word)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("%s=%s: want %d bytes in hexadecimal", name, word, size)
	}
	return b, nil
}

// maxOwnerAuth is the size in bytes of the longest authorization value of a
// hierarchy (Part 2, "TPM2B_AUTH": that of the largest digest).
const maxOwnerAuth = 64

// ownerAuth reads the owner's password; nil for none. No error tells what it is.
func (e *Environment) ownerAuth() ([]byte, error) {
	word, given := e.option("ownerauth")
	if !given {
		return nil, nil
	}
	b, err := hex.DecodeString(word)
	if err != nil || len(b) == 0 || len(b) > maxOwnerAuth {
		return nil, fmt.Errorf("ownerauth=: want 1 to %d bytes in hexadecimal", maxOwnerAuth)
	}
	return b, nil
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
	slices.Sort(pcrs)
	return slices.Compact(pcrs), nil
}

// guard reads how commits are tied to the hardware TPM.
func (e *Environment) guard(cfg *vtpmmgr.Config) error {
	years := float64(ledger.DefaultYears)
	pcr := hwtpm.DefaultPCR
	cfg.Endurance = ledger.DefaultEndurance
	for name, n := range map[string]*int{"endurance": &cfg.Endurance, "anchor-pcr": &pcr} {
		if word, given := e.option(name); given {
			v, err := strconv.ParseUint(word, 10, 31)
			if err != nil || v == 0 {
				return fmt.Errorf("%s=%s: want a number above zero", name, word)
			}
			*n = int(v)
		}
	}
	cfg.PCR = uint(pcr)
	if word, given := e.option("years"); given {
		var err error
		if years, err = strconv.ParseFloat(word, 64); err != nil || !(years > 0 && years <= 100) {
			return fmt.Errorf("years=%s: want a number up to 100", word)
		}
	}
	if word, given := e.option("commits"); given {
		var err error
		if cfg.CommitRate, err = strconv.ParseFloat(word, 64); err != nil || !(cfg.CommitRate > 0 && cfg.CommitRate <= 1e6) {
			return fmt.Errorf("commits=%s: want a number up to a million", word)
		}
	}
	word, given := e.option("guard")
	_, init := e.option("init")
	cfg.KeepMode = !given && !init
	if !given || word == "budget" {
		cfg.Mode = ledger.Budget(cfg.Endurance, years)
		return nil
	}
	var err error
	if cfg.Mode, err = ledger.ParseMode(word); err != nil {
		return fmt.Errorf("guard=: %w", err)
	}
	return nil
}

// operator reads the key that may approve other PCRs; nil for none.
func (e *Environment) operator() (*ecdsa.PublicKey, error) {
	b, err := e.hex("operator", 65)
	if b == nil || err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("operator=: %w", err)
	}
	return key, nil
}

// A managerHandler gives each connection a session of the manager.
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
