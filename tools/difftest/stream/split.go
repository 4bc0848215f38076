package stream

import (
	"encoding/binary"
	"strings"

	"stubtpm/vtpm/tcg"
)

// split cuts a response's parameters into fields by the specification's table.
// It returns nil if they do not fit.
func split(code tcg.TPMCC, b []byte) [][]byte {
	spec := tcg.CommandByCode(code)
	if spec == nil {
		return nil
	}
	var out [][]byte
	for i, p := range spec.Response {
		n := fieldSize(p.Type, b)
		if n < 0 || i == len(spec.Response)-1 {
			n = len(b)
		}
		if n > len(b) {
			return nil
		}
		out, b = append(out, b[:n]), b[n:]
	}
	return out
}

// fieldSize returns the size in bytes of the value of a type at the start of b. It
// returns -1 for other types, which are always last.
func fieldSize(typ string, b []byte) int {
	sized := func(at int) int {
		if len(b) < at+2 {
			return len(b) + 1
		}
		return at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	switch {
	case strings.HasPrefix(typ, "TPM2B_"):
		return sized(0)
	case strings.HasPrefix(typ, "TPMT_TK_"):
		return sized(6)
	case typ == "TPMI_YES_NO":
		return 1
	case typ == "UINT32" || typ == "TPM_RC":
		return 4
	case typ == "UINT16":
		return 2
	case typ == "TPML_PCR_SELECTION" && len(b) >= 4:
		n := 4
		for range min(binary.BigEndian.Uint32(b), 16) {
			if len(b) < n+3 {
				return len(b) + 1
			}
			n += 3 + int(b[n+2])
		}
		return n
	}
	return -1
}
