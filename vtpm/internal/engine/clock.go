package engine

import (
	"stubtpm/vtpm/internal/timer"
	"stubtpm/vtpm/tcg"
)

// ACTOf returns the number of the timer that h names; ok is false if h names none.
func ACTOf(h tcg.TPMHandle) (i int, ok bool) {
	return int(h - tcg.TPMRHACT0), h >= tcg.TPMRHACT0 && h < tcg.TPMRHACT0+timer.Count
}

// ACTTick counts the timers down to now.
func (d *Device) ACTTick() { d.Clear.ACTs.Tick(d.Cfg.Now(), d.ACTExpired) }

// ACTExpired is the signal of a timer. What it does is the platform's to say
// (Part 1, 40.3); here it is written to the log, and shown by TPM2_GetCapability.
func (d *Device) ACTExpired(i int) { d.Cfg.Log("vtpm: countdown timer %d has expired", i) }

// TimeNow returns Time, in milliseconds since power-on (Part 1, "Time").
func (d *Device) TimeNow() uint64 { return d.Vol.Clock.Time(d.Cfg.Now()) }

// ClockNow returns Clock, in milliseconds (Part 1, "Clock").
func (d *Device) ClockNow() uint64 { return d.Vol.Clock.Clock(d.Cfg.Now()) }

// ClockInfo returns the TPMS_CLOCK_INFO of now.
func (d *Device) ClockInfo() tcg.TPMSClockInfo {
	return tcg.TPMSClockInfo{
		Clock: d.ClockNow(), ResetCount: d.Perm.ResetCount,
		RestartCount: d.Reset.RestartCount, Safe: d.Vol.Clock.Safe,
	}
}

// TimeInfo returns the TPMS_TIME_INFO of now.
func (d *Device) TimeInfo() tcg.TPMSTimeInfo {
	return tcg.TPMSTimeInfo{Time: d.TimeNow(), ClockInfo: d.ClockInfo()}
}
