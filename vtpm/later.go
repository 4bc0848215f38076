package vtpm

import (
	"stubtpm/vtpm/tcg"
)

var (
	fieldUpgradeCommands = commandTable{}
)

type actState struct{}

func (d *Device) actHandles() []tcg.TPMHandle                { return nil }
func (d *Device) actPolicy(h tcg.TPMHandle) authPolicy       { return authPolicy{hash: tcg.TPMAlgNull} }
func (d *Device) setACTPolicy(h tcg.TPMHandle, p authPolicy) {}
func (d *Device) actStartup(resume, orderly bool)            {}
func (d *Device) listACT(l *capList)                         { l.begin(12) }
func isACT(h tcg.TPMHandle) bool                             { return h >= tcg.TPMRHACT0 && h <= tcg.TPMRHACTF }
