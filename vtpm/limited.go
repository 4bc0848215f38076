package vtpm

import (
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
)

// A Firmware is what hierarchies that are limited to the present firmware, or to
// a security version of it, depend on.
type Firmware = hierarchy.Firmware

// svn is the security version of the firmware (TPM_PT_FIRMWARE_SVN).
func (d *Device) svn() uint16 {
	if d.cfg.Firmware == nil {
		return 0
	}
	return d.cfg.Firmware.SVN
}

// limited are the attributes of objects that exist in limited hierarchies only.
const limited = tcg.TPMAObjectFirmwareLimited | tcg.TPMAObjectSVNLimited

// checkHierarchy checks a hierarchy that is a parameter: it must exist.
func (d *Device) checkHierarchy(h tcg.TPMHandle) tcg.TPMRC {
	if !d.hierarchies().Exists(h) {
		return tcg.TPMRCValue
	}
	return tcg.TPMRCSuccess
}
