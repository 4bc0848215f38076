package dispatch

import (
	"encoding/binary"
)

// Linux' xen-tpmfront takes every device for a TPM 1.2 and asks it, before
// anything else, for its timeouts and durations. A TPM 2.0 answers
// TPM_RC_BAD_TAG to that, and the driver is left with timeouts of zero. The
// two questions are answered here as a TPM 1.2 would (TPM Main Specification,
// version 1.2, Part 3, TPM_GetCapability; Part 2, TPM_CAP_PROP_TIS_TIMEOUT and
// TPM_CAP_PROP_DURATION).

const (
	tag12Command       = 0x00C1     // TPM_TAG_RQU_COMMAND
	Tag12Response      = 0x00C4     // TPM_TAG_RSP_COMMAND
	ord12GetCapability = 0x00000065 // TPM_ORD_GetCapability
	cap12Property      = 5          // TPM_CAP_PROPERTY
	prop12Timeouts     = 0x115      // TPM_CAP_PROP_TIS_TIMEOUT
	prop12Durations    = 0x120      // TPM_CAP_PROP_DURATION
)

// Microseconds. The durations allow for a key generation on a loaded host.
var (
	timeouts12  = [4]uint32{750_000, 2_000_000, 750_000, 750_000}
	durations12 = [3]uint32{3_000_000, 30_000_000, 600_000_000}
)

// probe12 answers the two questions; for all else it returns nil.
func probe12(b []byte) []byte {
	if len(b) != 22 || binary.BigEndian.Uint16(b) != tag12Command || binary.BigEndian.Uint32(b[2:]) != 22 ||
		binary.BigEndian.Uint32(b[6:]) != ord12GetCapability || binary.BigEndian.Uint32(b[10:]) != cap12Property || binary.BigEndian.Uint32(b[14:]) != 4 {
		return nil
	}
	var values []uint32
	switch binary.BigEndian.Uint32(b[18:]) {
	case prop12Timeouts:
		values = timeouts12[:]
	case prop12Durations:
		values = durations12[:]
	default:
		return nil
	}
	n := 4 * len(values)
	resp := append(binary.BigEndian.AppendUint16(nil, Tag12Response), binary.BigEndian.AppendUint32(nil, uint32(14+n))...)
	resp = binary.BigEndian.AppendUint32(resp, 0) // TPM_SUCCESS
	resp = binary.BigEndian.AppendUint32(resp, uint32(n))
	for _, v := range values {
		resp = binary.BigEndian.AppendUint32(resp, v)
	}
	return resp
}
