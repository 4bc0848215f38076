package vtpm

import (
	"encoding/binary"
	"stubtpm/vtpm/internal/clock"
	"stubtpm/vtpm/tcg"
)

// Floors are the values of a TPM that must never be seen to go back, even when
// its owner has an old state restored (Part 1, "Timing Components" and
// "Dictionary Attack Protection").
type Floors struct {
	Clock       uint64 // milliseconds
	ResetCount  uint32 // with it rising, restartCount may begin again
	FailedTries uint32 // towards lockout; more than its limit stands for the limit
}

// EpochIndex is an NV index, of the range of the TPM's manufacturer, in which a
// verifier sees whether an old state was restored: TPM2_NV_Certify vouches for it.
// It is 8 bytes: Epoch's Ledger and Restores, big-endian. No command defines,
// writes or deletes it.
const EpochIndex = 0x01057B00

// An Epoch tells restores of old states, as who keeps the state counts them.
type Epoch struct {
	Ledger   uint32 // of all TPMs that are kept together; another after each restore
	Restores uint32 // of this TPM
}

// setEpoch makes the index.
func (d *Device) setEpoch(e Epoch) {
	// Its policy is empty, which no policy session satisfies: so nobody writes
	// it, and nobody deletes it.
	const attributes = tcg.TPMANVPlatformCreate | tcg.TPMANVPolicyDelete | tcg.TPMANVPolicyWrite | tcg.TPMANVWriteDefine | tcg.TPMANVWriteLocked |
		tcg.TPMANVAuthRead | tcg.TPMANVOwnerRead | tcg.TPMANVPPRead | tcg.TPMANVNoDA | tcg.TPMANVWritten
	d.perm.nv.indices[EpochIndex] = &nvIndex{
		public: tcg.TPMSNVPublic{NVIndex: EpochIndex, NameAlg: tcg.TPMAlgSHA256, Attributes: attributes, DataSize: 8},
		data:   binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, e.Ledger), e.Restores),
	}
}

// noEpoch removes the index, which speaks of nothing that is true here: it came
// with a state from where there is an Epoch.
func (d *Device) noEpoch() {
	if d.perm.nv.indices[EpochIndex] != nil {
		d.cfg.Log("vtpm: NV index %#08x is removed: there is no epoch here", EpochIndex)
		delete(d.perm.nv.indices, EpochIndex)
	}
}

// ReadFloors returns the values that are in a saved state.
func ReadFloors(state []byte) (Floors, error) {
	var d Device
	if err := d.decodePermanent(state); err != nil {
		return Floors{}, err
	}
	return d.floors(), nil
}

func (d *Device) floors() Floors {
	return Floors{Clock: d.perm.clock.Clock, ResetCount: d.perm.resetCount, FailedTries: d.perm.da.FailedTries}
}

// raise lifts the loaded state to the floors. A Clock that was lifted is not
// safe: nobody knows that it was not higher for a moment.
func (d *Device) raise(f Floors) {
	p := &d.perm
	if p.clock.Clock < f.Clock {
		p.clock = clock.Saved{Clock: f.Clock}
	}
	p.resetCount = max(p.resetCount, f.ResetCount)
	p.da.FailedTries = max(p.da.FailedTries, min(f.FailedTries, p.da.MaxTries))
}
