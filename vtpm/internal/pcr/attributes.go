package pcr

import "stubtpm/vtpm/tcg"

// Count is the number of PCRs in a bank (PC Client Platform TPM Profile, "PCR
// Requirements").
const Count = 24

// PCRs that a measured launch sets: the one of an H-CRTM, before TPM2_Startup, and
// those of a dynamic launch, which extends the first of them (Part 1, "H-CRTM" and
// "D-RTM"; PC Client Platform TPM Profile, "PCR Attributes").
const (
	HCRTM     = 0
	DRTMFirst = 17
	DRTMLast  = 22
)

// Localities are those, as TPMA_LOCALITY, from which a PCR may be reset by
// TPM2_PCR_Reset and from which it may be extended.
type Localities struct{ Reset, Extend uint8 }

// Rules follows the PC Client Platform TPM Profile, "PCR Attributes". A PCR that
// is not listed cannot be reset and may be extended from everywhere.
func Rules(n int) Localities {
	switch n {
	case 16, 23:
		return Localities{0x0F, 0x1F}
	case 17, 18:
		return Localities{0x10, 0x1C}
	case 19:
		return Localities{0x10, 0x0C}
	case 20:
		return Localities{0x14, 0x0E}
	case 21, 22:
		return Localities{0x14, 0x04}
	}
	return Localities{0, 0x1F}
}

// Exists reports whether h is the handle of a PCR.
func Exists(h tcg.TPMHandle) bool { return h < Count }

// Saved reports whether TPM2_Shutdown(STATE) keeps PCR n.
func Saved(n int) bool { return n < 16 }

// IsDRTM reports whether a dynamic launch sets PCR n: it is all ones until then.
func IsDRTM(n int) bool { return n >= DRTMFirst && n <= DRTMLast }

// Counted reports whether a change of PCR n counts in the PCR update counter
// (TPM_PT_PCR_NO_INCREMENT has the others).
func Counted(n int) bool { return n < 16 || n > 16 && n < 21 }
