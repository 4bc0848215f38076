package stream

import (
	"encoding/binary"
	"fmt"

	"stubtpm/vtpm/tcg"
)

// compare returns how the responses of both sides differ, or "" if they do not.
func (c *command) compare(r *pair[response]) string {
	a, b := &r[0], &r[1]
	if a.rc != b.rc {
		return fmt.Sprintf("response code 0x%03X, other 0x%03X", uint32(a.rc), uint32(b.rc))
	}
	if a.tag != b.tag {
		return fmt.Sprintf("tag 0x%04X, other 0x%04X", a.tag, b.tag)
	}
	if a.rc != 0 {
		return ""
	}
	if c.handleInResponse && a.handle>>24 != b.handle>>24 {
		return fmt.Sprintf("handle 0x%08X, other 0x%08X", a.handle, b.handle)
	}
	if string(a.exclusive) != string(b.exclusive) {
		return fmt.Sprintf("auditExclusive %x, other %x", a.exclusive, b.exclusive)
	}
	if c.loose {
		return ""
	}
	fa, fb := split(c.code, a.params), split(c.code, b.params)
	if fa == nil && len(a.params) > 0 || fb == nil && len(b.params) > 0 {
		return fmt.Sprintf("parameters that do not parse: %x, other %x", a.params, b.params)
	}
	spec := tcg.CommandByCode(c.code)
	for i := range fa {
		p := spec.Response[i]
		if p.Name == "pcrUpdateCounter" {
			continue // each TPM chooses its first value
		}
		x, y := fa[i], fb[i]
		if !c.exact {
			x, y = mask(p.Type, x, c), mask(p.Type, y, c)
		}
		if p.Type == "TPMI_YES_NO" && c.code == tcg.TPMCCGetCapability {
			continue // the lists may have different lengths
		}
		if p.Type == "TPMS_CAPABILITY_DATA" {
			if d := compareCapability(x, y); d != "" {
				return d
			}
			continue
		}
		if string(x) != string(y) {
			return fmt.Sprintf("%s: %x, other %x", p.Name, x, y)
		}
	}
	return ""
}

// mask returns the part of a value that must be the same on both sides.
func mask(typ string, b []byte, c *command) []byte {
	size := u32(len(b))
	switch typ {
	case "TPMT_SIGNATURE":
		return cat(size, b[:min(4, len(b))])
	case "TPMT_TK_HASHCHECK", "TPMT_TK_VERIFIED", "TPMT_TK_AUTH", "TPMT_TK_CREATION":
		return b[:min(6, len(b))] // each TPM chooses the size of the digest
	case "TPM2B_PRIVATE", "TPM2B_TIMEOUT":
		return nil // each TPM chooses the size
	case "TPM2B_PUBLIC":
		return cat(size, maskUnique(b))
	case "TPM2B_ATTEST":
		return cat(size, maskAttest(b))
	case "TPM2B_CREATION_DATA":
		n := 2 + fieldSize("TPML_PCR_SELECTION", b[2:])
		n += 2 + int(binary.BigEndian.Uint16(b[n:])) + 1 + 2
		return cat(size, b[:n])
	case "TPMS_TIME_INFO":
		if len(b) == 25 {
			if !c.counted {
				return b[24:]
			}
			return cat(b[16:20], b[24:])
		}
	case "TPMS_CAPABILITY_DATA":
		return b
	}
	return size
}

// maskUnique removes the unique field from a TPM2B_PUBLIC.
func maskUnique(b []byte) []byte {
	if len(b) < 12 {
		return b
	}
	n := 2 + 8 + 2 + int(binary.BigEndian.Uint16(b[10:])) // up to the parameters
	// optional skips an algorithm and, unless it is TPM_ALG_NULL, its parameters.
	optional := func(more int) {
		if len(b) < n+2 {
			return
		}
		switch a := tcg.TPMAlgID(binary.BigEndian.Uint16(b[n:])); {
		case a == tcg.TPMAlgNull || a == tcg.TPMAlgRSAES:
			n += 2
		case a == tcg.TPMAlgXOR || a == tcg.TPMAlgECDAA:
			n += 6
		default:
			n += 2 + more
		}
	}
	switch tcg.TPMAlgID(binary.BigEndian.Uint16(b[2:])) {
	case tcg.TPMAlgMLKEM:
		optional(4)
		n += 2
	case tcg.TPMAlgMLDSA:
		n += 3
	case tcg.TPMAlgHashMLDSA:
		n += 4
	case tcg.TPMAlgRSA:
		optional(4)
		optional(2)
		n += 6
	case tcg.TPMAlgECC:
		optional(4)
		optional(2)
		n += 2
		optional(2)
	case tcg.TPMAlgKeyedHash:
		optional(2)
	case tcg.TPMAlgSymCipher:
		n += 6
	}
	return b[:min(n, len(b))]
}

// maskAttest removes from a TPM2B_ATTEST what depends on keys and the clock.
func maskAttest(b []byte) []byte {
	if len(b) < 8 {
		return b
	}
	kind := binary.BigEndian.Uint16(b[6:])
	head := b[2:8]
	_, rest, ok := take2B(b[8:])
	extra, rest, ok2 := take2B(rest)
	if !ok || !ok2 || len(rest) < 25 {
		return b
	}
	switch kind {
	case 0x8018, 0x8014: // quote, NV
		rest = rest[25:]
	default:
		rest = u32(len(rest))
	}
	return cat(head, extra, rest)
}

// ecdsaAsRegistered clears the attribute that Microsoft's reference adds to ECDSA. In
// the TCG Algorithm Registry, and in swtpm, ECDSA is asymmetric and signing only.
func ecdsaAsRegistered(b []byte) []byte {
	b = append([]byte(nil), b...)
	for at := 8; at+6 <= len(b); at += 6 {
		if binary.BigEndian.Uint16(b[at:]) == uint16(tcg.TPMAlgECDSA) {
			b[at+4] &^= 4
		}
	}
	return b
}

// compareCapability compares the entries that two TPMs with different algorithms,
// commands and properties both have.
func compareCapability(a, b []byte) string {
	if len(a) < 8 || len(b) < 8 || string(a[:4]) != string(b[:4]) {
		return fmt.Sprintf("capability %x, other %x", a, b)
	}
	entry, key := 0, 4
	kind := binary.BigEndian.Uint32(a)
	switch kind {
	case 0:
		b = ecdsaAsRegistered(b)
		entry, key = 6, 2
	case 2:
		entry, key = 4, 4
	case 6, 9:
		entry, key = 8, 4
	case 1:
		h := uint32(0)
		if len(a) >= 12 {
			h = binary.BigEndian.Uint32(a[8:]) >> 24
		}
		if h == 0x40 || h == 0x80 || len(a) != len(b) && h == 0 {
			return "" // each TPM chooses its ACTs and handles
		}
	case 8:
		return ""
	}
	if entry == 0 {
		if string(a) != string(b) {
			return fmt.Sprintf("capability data %x, other %x", a, b)
		}
		return ""
	}
	if kind == 9 {
		return ""
	}
	list := func(b []byte) map[uint32]string {
		m := map[uint32]string{}
		for b = b[8:]; len(b) >= entry; b = b[entry:] {
			k := uint32(0)
			for _, x := range b[:key] {
				k = k<<8 | uint32(x)
			}
			v := string(b[key:entry])
			if kind == 2 {
				v, k = string(b[:entry]), k&0xFFFF
			}
			m[k] = v
		}
		return m
	}
	x, y := list(a), list(b)
	for k, v := range x {
		if o, both := y[k]; both && v != o && !(kind == 6 && ownProperty[k]) {
			return fmt.Sprintf("capability %d, 0x%X: %x, other %x", kind, k, v, o)
		}
	}
	return ""
}
