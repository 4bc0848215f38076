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

// clockTick saves Clock when it is due, and says that it is safe again.
func (d *Device) clockTick() {
	if now := d.clockNow(); now/clockSaveInterval != d.perm.clock/clockSaveInterval {
		d.dirty = true
		d.vol.clockSafe = true
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
