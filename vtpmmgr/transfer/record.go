package transfer

import "encoding/binary"

// A Record is what a manager hands over of a vTPM. The state itself is on the vTPM's disk,
// sealed with Key, and Hash covers it.
type Record struct {
	VTPM     ID
	Key      [32]byte // of the state: secret
	Firmware [32]byte // root of the firmware-limited hierarchies: secret
	Sequence uint64   // of the last commit, that of a suspended state
	Hash     Hash     // of what it committed
	Floors   [16]byte // as the vTPM's domain gave them
	Epoch    uint32
	Flags    byte   // attested 1, measured 2, programs are listed 4
	Image    Hash   // SHA-256 that the vTPM's domain has to be measured with; zeros for any
	Group    string // name of its group, at most 64 bytes, not empty
	Name     string // at most 64 bytes
	Profile  string // at most 128 bytes
	Programs []Hash // that its guests may start with, at most 12
	Rules    Rules  // of where it may be
}

// Flags of a record.
const (
	FlagAttested = 1
	FlagMeasured = 2
	FlagListed   = 4
)

const (
	recordVersion = 1
	maxName       = 64
	maxProfile    = 128
	maxPrograms   = 12
)

// Append appends the record to b, at most 1,466 bytes.
func (r *Record) Append(b []byte) []byte {
	b = append(b, recordVersion)
	b = append(append(append(b, r.VTPM[:]...), r.Key[:]...), r.Firmware[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Sequence)
	b = append(append(b, r.Hash[:]...), r.Floors[:]...)
	b = append(binary.BigEndian.AppendUint32(b, r.Epoch), r.Flags)
	b = append(b, r.Image[:]...)
	for _, t := range []string{r.Group, r.Name, r.Profile} {
		b = append(append(b, byte(len(t))), t...)
	}
	return r.Rules.append(appendHashes(b, r.Programs))
}

// check returns nil if ParseRecord takes what Append writes.
func (r *Record) check() error {
	switch {
	case len(r.Group) == 0 || len(r.Group) > maxName || len(r.Name) > maxName || len(r.Profile) > maxProfile,
		len(r.Programs) > maxPrograms || max(len(r.Rules.Managers), len(r.Rules.Images), len(r.Rules.Places)) > MaxRules,
		r.Flags >= 8, r.Sequence == 0:
		return WrongRecord
	}
	return nil
}

// ParseRecord decodes a record. Its error is [WrongRecord].
func ParseRecord(b []byte) (*Record, error) {
	r := reader{b: b}
	if r.u8() != recordVersion {
		return nil, WrongRecord
	}
	v := &Record{VTPM: r.id(), Key: r.hash(), Firmware: r.hash(), Sequence: r.u64(), Hash: r.hash(), Floors: [16]byte(r.take(16)),
		Epoch: r.u32(), Flags: r.u8(), Image: r.hash()}
	for _, t := range []*string{&v.Group, &v.Name, &v.Profile} {
		*t = string(r.take(int(r.u8())))
	}
	v.Programs = r.hashes(maxPrograms)
	v.Rules = r.rules()
	if r.end() != nil {
		return nil, WrongRecord
	}
	return v, v.check()
}
