package vtpm

import (
	"time"

	"stubtpm/vtpm/tcg"
)

// clockSaveInterval is how long, in milliseconds, Clock may advance before it
// is saved (TPM_PT_CLOCK_UPDATE: 2^22 ms, about 70 minutes).
const clockSaveInterval = 1 << 22

// timeNow is Time: milliseconds since _TPM_Init (Part 1, "Time").
func (d *Device) timeNow() uint64 {
	return uint64((d.cfg.Now() - d.vol.powerOnAt) / time.Millisecond)
}

// clockNow is Clock: milliseconds that the TPM has been powered in all (Part
// 1, "Clock").
func (d *Device) clockNow() uint64 {
	if d.vol.clockHeld {
		return d.vol.clockBase
	}
	return d.vol.clockBase + uint64((d.cfg.Now()-d.vol.clockAt)/time.Millisecond)
}

// clockStartup sets Clock at TPM2_Startup to what was last saved. After a
// disorderly shutdown it may have been read as more than that, so it is not
// safe until it has passed the next save, however many orderly ones come
// between.
func (d *Device) clockStartup(orderly bool) {
	d.vol.clockBase = d.perm.clock
	d.vol.clockAt = d.cfg.Now()
	d.vol.clockSafe = orderly && d.perm.clockSafe
}

// setClock makes Clock v, from where it runs.
func (d *Device) setClock(v uint64) {
	d.vol.clockBase, d.vol.clockAt, d.vol.clockHeld = v, d.cfg.Now(), false
}

// clockDue is the value of Clock before which it has to be saved again.
func (d *Device) clockDue() uint64 { return (d.perm.clock/clockSaveInterval + 1) * clockSaveInterval }

// clockTick has Clock saved where it is due, and says that it is safe again.
func (d *Device) clockTick() {
	if d.vol.clockHeld {
		d.setClock(d.clockDue())
	}
	if d.clockNow() >= d.clockDue() {
		d.dirty = true
		d.vol.clockSafe = true
	}
}

// clockHold lets Clock stand still before a value that could not be saved: what
// was read of it must not be read again after a loss of power.
func (d *Device) clockHold() {
	if due := d.clockDue(); d.clockNow() >= due {
		d.setClock(due - 1)
		d.vol.clockHeld = true
	}
}

func (d *Device) clockInfo() tcg.TPMSClockInfo {
	return tcg.TPMSClockInfo{
		Clock: d.clockNow(), ResetCount: d.perm.resetCount,
		RestartCount: d.reset.restartCount, Safe: d.vol.clockSafe,
	}
}

func (d *Device) timeInfo() tcg.TPMSTimeInfo {
	return tcg.TPMSTimeInfo{Time: d.timeNow(), ClockInfo: d.clockInfo()}
}
