package stream

import (
	"stubtpm/vtpm/tcg"
)

// A Difference is one between our device and another TPM that is not ours to
// mend: what it is, what of the specification (version 1.85) decides it, and
// why we are on our side of it.
type Difference struct {
	Name      string
	Paragraph string
	Reason    string

	match func(c *command, r *pair[response]) bool
}

// ownProperty are the TPM_PT whose value each TPM chooses (Part 2, Table 28).
var ownProperty = map[uint32]bool{
	0x102: true, 0x103: true, 0x104: true, // revision and date of the specification
	0x105: true, 0x106: true, 0x107: true, 0x108: true, 0x109: true, 0x10A: true, 0x10B: true, 0x10C: true, // who made it
	0x10D: true, 0x10E: true, 0x110: true, 0x111: true, // slots
	0x114: true, 0x115: true, // context gap, counters
	0x116: true, 0x117: true, 0x118: true, 0x119: true, 0x11A: true, 0x11B: true, 0x11C: true, 0x11D: true,
	0x11E: true, 0x11F: true, 0x120: true, 0x121: true, 0x122: true, // sizes
	0x123: true, 0x124: true, 0x125: true, 0x126: true, 0x127: true, // platform specification
	0x128: true, 0x129: true, 0x12A: true, 0x12B: true, 0x12C: true, 0x12D: true, 0x12E: true,
	0x204: true, 0x205: true, 0x206: true, // slots left
	0x207: true, 0x209: true, 0x20A: true, 0x20C: true, 0x20D: true, // what is left
}

// Differences are those known, in the order in which they are looked up.
var Differences = []Difference{
	{
		Name:      "command not implemented here",
		Paragraph: "Part 3, 5.4: TPM_RC_COMMAND_CODE",
		Reason:    "docs/conformance.md names each command that this version has not",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCCommandCode
		},
	},
	{
		Name:      "command not implemented there",
		Paragraph: "Part 3, 5.4: TPM_RC_COMMAND_CODE",
		Reason:    "the other TPM is of an older revision or leaves the command out",
		match: func(c *command, r *pair[response]) bool {
			return r[other].rc == tcg.TPMRCCommandCode
		},
	},
	{
		Name:      "tag that is none",
		Paragraph: "Part 3, 5.2.1 and 6.1: TPM_RC_BAD_TAG",
		Reason:    "swtpm answers TPM_RC_VALUE",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCBadTag && r[other].rc == tcg.TPMRCValue
		},
	},
}
