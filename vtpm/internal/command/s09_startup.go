package command

import (
	"encoding/binary"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// startup is TPM2_Startup, which prepares the TPM for use after _TPM_Init.
//
//	TPM_RC_LOCALITY  not from locality 0 or 3, or a resume that is started in
//	                 another way than before
//	TPM_RC_VALUE     state asked for that no TPM2_Shutdown saved, or that does
//	                 not fit a change of algorithms
func startup(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	startupType := r.Next().SU()
	if err := r.End(); err != nil {
		return err
	}
	if c.Locality != 0 && c.Locality != 3 {
		return tcg.TPMRCLocality
	}
	by := engine.StartMethod{Locality3: c.Locality == 3, HCRTM: d.Vol.HCRTM}
	if startupType == tcg.TPMSUState {
		if d.Perm.Shutdown != uint16(tcg.TPMSUState) || d.Perm.AlgorithmsSet {
			return tcg.TPMRCValue.P(1)
		}
		if by != d.Perm.StartedBy {
			return tcg.TPMRCLocality
		}
	}
	d.Need(engine.NeedAtStartup...)
	orderly := d.Perm.Shutdown != engine.DisorderlyShutdown
	resume := startupType == tcg.TPMSUState
	restart := !resume && d.Perm.Shutdown == uint16(tcg.TPMSUState)

	switch {
	case resume:
		d.Clear, d.Reset = d.Perm.SavedClear, d.Perm.SavedReset
		d.Reset.RestartCount++
		d.Clear.Hierarchies.PlatformEnable = true
	case restart:
		d.Reset = d.Perm.SavedReset
		d.Reset.RestartCount++
		d.Clear = newStateClear()
	default:
		fresh, err := newStateReset(d)
		if err != nil {
			return err
		}
		d.Perm.ResetCount++
		d.Perm.TotalResetCount++
		d.Reset, d.Clear = fresh, newStateClear()
	}
	d.Vol.StartupLocality = c.Locality
	d.Vol.Started = true
	d.Vol.Orderly = orderly
	d.Vol.Clock.Epoch = binary.BigEndian.Uint32(d.Random(4))
	d.Vol.Clock.Startup(d.Perm.Clock, orderly, d.Cfg.Now())
	d.Vol.DATime = d.Perm.DA.Startup(d.Cfg.Now())
	d.Clear.ACTs.Startup(resume, d.Cfg.Now())
	if !d.Vol.HCRTM {
		d.Vol.PCRs.Allocate(d.Perm.PCRBanks)
	}
	d.Vol.PCRs.Startup(d.Perm.SavedPCR, resume, d.Vol.HCRTM, c.Locality)
	d.Perm.NV.Startup(resume, !resume && !restart, orderly)
	objectStartup(d, resume)
	d.Reset.Contexts.Startup()

	// From here on, until a TPM2_Shutdown, losing power is disorderly.
	d.Perm.Shutdown = engine.DisorderlyShutdown
	d.Perm.SavedClear, d.Perm.SavedReset, d.Perm.SavedPCR = engine.StateClear{}, engine.StateReset{}, nil
	d.Perm.StartedBy = by
	d.Perm.PCRsAllocated, d.Perm.AlgorithmsSet = false, false
	return nil
}

func newStateClear() engine.StateClear {
	return engine.StateClear{Started: true, Hierarchies: hierarchy.NewClear(), ACTPolicies: engine.NoACTPolicies()}
}

func newStateReset(d *engine.Device) (engine.StateReset, error) {
	null, err := hierarchy.NewSecrets(d.Cfg.Rand)
	return engine.StateReset{Null: null, CommitNonce: d.Random(tpmcrypto.MustSize(engine.ContextHash))}, err
}

// objectStartup removes persistent objects with stClear SET, unless state was
// resumed (Part 1, "stClear").
func objectStartup(d *engine.Device, resume bool) {
	if resume {
		return
	}
	for h, o := range d.Perm.Objects {
		if o.StClear {
			delete(d.Perm.Objects, h)
		}
	}
}

// shutdown is TPM2_Shutdown, which saves what the next TPM2_Startup needs to go
// on, before power is lost.
//
//	TPM_RC_TYPE  STATE after a TPM2_PCR_Allocate (Part 3, 22.5), or in the
//	             middle of a measured launch
func shutdown(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	shutdownType := r.Next().SU()
	if err := r.End(); err != nil {
		return err
	}
	if shutdownType == tcg.TPMSUState && (d.Vol.HashSequence != nil || d.Perm.PCRsAllocated) {
		return tcg.TPMRCType.P(1)
	}
	d.Perm.NV.Shutdown()
	d.Perm.Clock.Safe = d.Vol.Clock.Safe
	d.Perm.Shutdown = uint16(shutdownType)
	d.Perm.SavedClear, d.Perm.SavedReset, d.Perm.SavedPCR = engine.StateClear{}, engine.StateReset{}, nil
	if shutdownType == tcg.TPMSUState {
		d.ACTTick()
		d.Perm.SavedClear = d.Clear.Clone()
		d.Perm.SavedClear.ACTs.Shutdown()
		d.Perm.SavedReset = d.Reset.Clone()
		d.Perm.SavedPCR = d.Vol.PCRs.Save()
	}
	d.Vol.ShutdownDone = true
	return nil
}
