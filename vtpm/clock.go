package vtpm

import (
	"stubtpm/vtpm/tcg"
)

func (d *Device) timeNow() uint64  { return d.vol.clock.Time(d.cfg.Now()) }
func (d *Device) clockNow() uint64 { return d.vol.clock.Clock(d.cfg.Now()) }

func (d *Device) clockInfo() tcg.TPMSClockInfo {
	return tcg.TPMSClockInfo{
		Clock: d.clockNow(), ResetCount: d.perm.resetCount,
		RestartCount: d.reset.restartCount, Safe: d.vol.clock.Safe,
	}
}

func (d *Device) timeInfo() tcg.TPMSTimeInfo {
	return tcg.TPMSTimeInfo{Time: d.timeNow(), ClockInfo: d.clockInfo()}
}
