package service

import (
	"errors"
	"fmt"

	"stubtpm/drivers/block"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/proto"
)

// An opened is a TPM with its store.
type opened struct {
	device *vtpm.Device
	store  *ledgerStore

	// resumed reports whether the TPM goes on where it was suspended, with what the image
	// that has the token left in it. Otherwise it waits for TPM2_Startup.
	resumed bool
	token   token
}

// openDevice loads the TPM from its sealed state, or manufactures a new one if the manager
// says so.
func openDevice(e *Environment, disk block.Device, manager *proto.Client, grant *proto.Grant) (o opened, err error) {
	image, err := statedisk.Open(disk, grant.UUID)
	if err != nil {
		return o, err
	}
	last := &grant.State
	store := &ledgerStore{disk: image, manager: manager, sequence: last.Sequence, restores: grant.Epoch}
	o.store = store
	cfg := vtpm.Config{Store: store, Log: e.Log, Floors: vtpm.Floors(last.Floors),
		Epoch: &vtpm.Epoch{Ledger: grant.Ledger, Restores: grant.Epoch}, Attest: attest(manager)}
	if grant.Firmware != [proto.KeySize]byte{} {
		cfg.Firmware = &vtpm.Firmware{Secret: grant.Firmware[:], SVNSecret: grant.SVN[:]}
	}
	if grant.Manufacture {
		if err := prepareDisk(e, image, grant.Replace); err != nil {
			return o, err
		}
		if cfg.Profile, err = grantProfile(grant); err != nil {
			return o, fmt.Errorf("manufacture: %w", err)
		}
		e.Log("manufacturing a new TPM")
		o.device, err = vtpm.Manufacture(cfg)
		return o, err
	}
	state, _, err := image.Load(last.Key[:], &statedisk.Version{Sequence: last.Sequence, Hash: last.Hash})
	if err != nil {
		return o, fmt.Errorf("state: %w", err)
	}
	s, err := parseSuspended(state)
	if err != nil {
		return o, fmt.Errorf("state: %w", err)
	}
	if s == nil {
		o.device, err = vtpm.Load(cfg, state)
		return o, err
	}
	return o, o.resume(e, cfg, s, grant)
}

// resume goes on with a suspended TPM. What is volatile in it is used once: before anything
// else the permanent state alone takes its place in the ledger.
func (o *opened) resume(e *Environment, cfg vtpm.Config, s *suspended, grant *proto.Grant) error {
	floors, err := vtpm.ReadFloors(s.permanent)
	if err != nil {
		return fmt.Errorf("suspended state: %w", err)
	}
	if err := o.store.saveUrgent(s.permanent); err != nil {
		return fmt.Errorf("suspended state: %w", err)
	}
	err = errOldSuspended
	// Higher floors, or another count of restores, are those of a state of which others
	// were in use since.
	if vtpm.Floors(grant.State.Floors) == floors && grant.Epoch == s.restores {
		o.device, err = vtpm.Resume(cfg, s.permanent, s.volatile)
	}
	if err == nil {
		o.resumed, o.token = true, s.token
		e.Log("going on where this TPM was suspended")
		return nil
	}
	// Without what is volatile it is better than none: its guest finds PCRs that say so.
	e.Log("cannot go on where this TPM was suspended: %v", err)
	o.device, err = vtpm.Load(cfg, s.permanent)
	return err
}

// errOldSuspended means that a suspended state was restored by an order.
var errOldSuspended = errors.New("it was restored by an order, so the guest's memory belongs to a later state")

// grantProfile returns the profile that the vTPM was enrolled with; nil for the default.
func grantProfile(grant *proto.Grant) (*tcg.Profile, error) {
	if grant.Profile == "" {
		return nil, nil
	}
	return parseProfile(grant.Profile)
}

// parseProfile decodes the stored form of a profile, and checks that a TPM can be made of it.
func parseProfile(stored string) (*tcg.Profile, error) {
	var p tcg.Profile
	r := tcg.NewReader([]byte(stored), nil)
	err := p.Unmarshal(&r)
	if err == nil && len(r.Rest()) != 0 {
		err = errors.New("profile of the enrollment: bytes left over")
	}
	if err == nil {
		err = p.Check()
	}
	return &p, err
}

func checkProfile(stored string) error {
	_, err := parseProfile(stored)
	return err
}

// prepareDisk makes a disk ready for a new TPM. It overwrites another TPM's state only if
// replace is set.
func prepareDisk(e *Environment, image *statedisk.Disk, replace bool) error {
	if !replace {
		err := image.Claim()
		if errors.Is(err, statedisk.ErrInUse) {
			err = fmt.Errorf("%w; to keep the TPM on it, restore a backup of its record (stubtpm mgr restore); "+
				"to erase it, stubtpm mgr amend --replace", err)
		}
		if err != nil {
			return fmt.Errorf("manufacture: %w", err)
		}
		return nil
	}
	held, err := image.Replace()
	if held != nil && err == nil {
		e.Log("replacing what was on this disk: %v", held)
	}
	return err
}
