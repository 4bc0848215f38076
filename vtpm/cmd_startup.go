package vtpm

import (
	"encoding/binary"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
)

// Part 3, section 9 - Start-up.
var startupCommands = commandTable{
	tcg.TPMCCStartup:  (*Device).startup,
	tcg.TPMCCShutdown: (*Device).shutdown,
}

// startup is TPM2_Startup.
//
//	TPM_RC_LOCALITY  not from locality 0 or 3, or a resume that is started in
//	                 another way than before
//	TPM_RC_VALUE     state asked for that no TPM2_Shutdown saved, or that does
//	                 not fit a change of algorithms
func (d *Device) startup(c *call) error {
	r := c.reader()
	startupType := r.next().SU()
	if err := r.end(); err != nil {
		return err
	}
	if c.locality != 0 && c.locality != 3 {
		return tcg.TPMRCLocality
	}
	by := startMethod{c.locality == 3, d.vol.hcrtm}
	if startupType == tcg.TPMSUState {
		if d.perm.shutdown != uint16(tcg.TPMSUState) || d.perm.algorithmsSet {
			return tcg.TPMRCValue.P(1)
		}
		if by != d.perm.startedBy {
			return tcg.TPMRCLocality
		}
	}
	d.need(needAtStartup...)
	orderly := d.perm.shutdown != suNone
	resume := startupType == tcg.TPMSUState
	restart := !resume && d.perm.shutdown == uint16(tcg.TPMSUState)

	switch {
	case resume:
		d.clear, d.reset = d.perm.savedClear, d.perm.savedReset
		d.reset.restartCount++
		d.clear.hierarchies.PlatformEnable = true
	case restart:
		d.reset = d.perm.savedReset
		d.reset.restartCount++
		d.clear = newStateClear()
	default:
		fresh, err := d.newStateReset()
		if err != nil {
			return err
		}
		d.perm.resetCount++
		d.perm.totalResetCount++
		d.reset, d.clear = fresh, newStateClear()
	}
	d.vol.startupLocality = c.locality
	d.vol.started = true
	d.vol.orderly = orderly
	d.vol.clock.Epoch = binary.BigEndian.Uint32(d.random(4))
	d.vol.clock.Startup(d.perm.clock, orderly, d.cfg.Now())
	d.vol.daTime = d.perm.da.Startup(d.cfg.Now())
	d.clear.acts.Startup(resume, d.cfg.Now())
	if !d.vol.hcrtm {
		d.vol.pcrs.Allocate(d.perm.pcrBanks)
	}
	d.vol.pcrs.Startup(d.perm.savedPCR, resume, d.vol.hcrtm, c.locality)
	d.perm.nv.startup(resume, !resume && !restart, orderly)
	d.objectStartup(resume)
	d.reset.contexts.startup()

	// From here on, until a TPM2_Shutdown, losing power is disorderly.
	d.perm.shutdown = suNone
	d.perm.savedClear, d.perm.savedReset, d.perm.savedPCR = stateClear{}, stateReset{}, nil
	d.perm.startedBy = by
	d.perm.pcrsAllocated, d.perm.algorithmsSet = false, false
	return nil
}

func newStateClear() stateClear {
	return stateClear{started: true, hierarchies: hierarchy.NewClear(), actPolicies: noACTPolicies()}
}

func (d *Device) newStateReset() (stateReset, error) {
	null, err := hierarchy.NewSecrets(d.cfg.Rand)
	return stateReset{null: null, commitNonce: d.random(hashSize(contextHash))}, err
}

// objectStartup removes persistent objects with stClear SET, unless state was
// resumed (Part 1, "stClear").
func (d *Device) objectStartup(resume bool) {
	if resume {
		return
	}
	for h, o := range d.perm.objects {
		if o.stClear {
			delete(d.perm.objects, h)
		}
	}
}

// shutdown is TPM2_Shutdown.
//
//	TPM_RC_TYPE  STATE after a TPM2_PCR_Allocate (Part 3, 22.5), or in the
//	             middle of a measured launch
func (d *Device) shutdown(c *call) error {
	r := c.reader()
	shutdownType := r.next().SU()
	if err := r.end(); err != nil {
		return err
	}
	if shutdownType == tcg.TPMSUState && (d.vol.drtm != nil || d.perm.pcrsAllocated) {
		return tcg.TPMRCType.P(1)
	}
	d.perm.nv.shutdown()
	d.perm.clock.Safe = d.vol.clock.Safe
	d.perm.shutdown = uint16(shutdownType)
	d.perm.savedClear, d.perm.savedReset, d.perm.savedPCR = stateClear{}, stateReset{}, nil
	if shutdownType == tcg.TPMSUState {
		d.actTick()
		d.perm.savedClear = d.clear.clone()
		d.perm.savedClear.acts.Shutdown()
		d.perm.savedReset = d.reset.clone()
		d.perm.savedPCR = d.vol.pcrs.Save()
	}
	d.vol.shutdownDone = true
	return nil
}
