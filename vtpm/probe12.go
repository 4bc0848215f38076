package vtpm

// Linux' xen-tpmfront takes every device for a TPM 1.2 and asks it, before
// anything else, for its timeouts and durations. A TPM 2.0 answers
// TPM_RC_BAD_TAG to that, and the driver is left with timeouts of zero. The
// two questions are answered here as a TPM 1.2 would (TPM Main Specification,
// version 1.2, Part 3, TPM_GetCapability; Part 2, TPM_CAP_PROP_TIS_TIMEOUT and
// TPM_CAP_PROP_DURATION).

const (
	tag12Command       = 0x00C1     // TPM_TAG_RQU_COMMAND
	tag12Response      = 0x00C4     // TPM_TAG_RSP_COMMAND
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
	if len(b) != 22 || be16(b) != tag12Command || be32(b[2:]) != 22 ||
		be32(b[6:]) != ord12GetCapability || be32(b[10:]) != cap12Property || be32(b[14:]) != 4 {
		return nil
	}
	var values []uint32
	switch be32(b[18:]) {
	case prop12Timeouts:
		values = timeouts12[:]
	case prop12Durations:
		values = durations12[:]
	default:
		return nil
	}
	n := 4 * len(values)
	resp := append(be(nil, 2, tag12Response), be(nil, 4, uint32(14+n))...)
	resp = be(resp, 4, 0) // TPM_SUCCESS
	resp = be(resp, 4, uint32(n))
	for _, v := range values {
		resp = be(resp, 4, v)
	}
	return resp
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
func be32(b []byte) uint32 { return uint32(be16(b))<<16 | uint32(be16(b[2:])) }

// be appends the low n bytes of v, big-endian.
func be(b []byte, n int, v uint32) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}
