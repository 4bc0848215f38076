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

// openDevice loads the TPM from its sealed state, or manufactures a new one if the manager
// says so.
func openDevice(e *Environment, disk block.Device, manager *proto.Client, grant *proto.Grant) (*vtpm.Device, error) {
	image, err := statedisk.Open(disk, grant.UUID)
	if err != nil {
		return nil, err
	}
	last := &grant.State
	store := &ledgerStore{disk: image, manager: manager, sequence: last.Sequence}
	cfg := vtpm.Config{Store: store, Log: e.Log, Floors: vtpm.Floors(last.Floors),
		Epoch: &vtpm.Epoch{Ledger: grant.Ledger, Restores: grant.Epoch}, Attest: attest(manager)}
	if grant.Firmware != [proto.KeySize]byte{} {
		cfg.Firmware = &vtpm.Firmware{Secret: grant.Firmware[:], SVNSecret: grant.SVN[:]}
	}
	if grant.Manufacture {
		if err := prepareDisk(e, image, grant.Replace); err != nil {
			return nil, err
		}
		if cfg.Profile, err = grantProfile(grant); err != nil {
			return nil, fmt.Errorf("manufacture: %w", err)
		}
		e.Log("manufacturing a new TPM")
		return vtpm.Manufacture(cfg)
	}
	state, _, err := image.Load(last.Key[:], &statedisk.Version{Sequence: last.Sequence, Hash: last.Hash})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return vtpm.Load(cfg, state)
}

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
