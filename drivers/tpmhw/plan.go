package tpmhw

import (
	"fmt"
	"slices"
	"strings"
)

// A Plan lists what a domain needs to use the TPM.
type Plan struct {
	// IOMem are the ranges for xl's iomem option: the number of the first page,
	// a comma, and the number of pages, both in hexadecimal.
	IOMem []string

	// Parameter is for the manager's command line, such as "tpm=7f000000". It is
	// empty if the registers are at Base.
	Parameter string

	// Warnings are sentences for the administrator.
	Warnings []string
}

// PlanFor returns the plan for a TPM2 table. It reads the addresses of the buffers
// from the control area, if the TPM has one.
func PlanFor(t Table, memory Memory) (Plan, error) {
	registers := t.Start == StartTIS || t.Control >= Base && t.Control < Base+Size
	var p Plan
	pages := map[uint64]bool{}
	add := func(at, size uint64) {
		for n := at >> 12; n <= (at+size-1)>>12; n++ {
			pages[n] = true
		}
	}
	if registers {
		add(Base, Size)
	} else {
		add(t.Control, areaSize)
		p.Parameter = fmt.Sprintf("tpm=%x", t.Control)
	}
	switch t.Start {
	case StartTIS, StartCRB:
	case StartACPI, StartCRBACPI:
		p.Warnings = append(p.Warnings, fmt.Sprintf("the firmware asks for start method %v: the manager has no ACPI interpreter and writes the START "+
			"register, which suffices for many firmware TPMs; if commands time out, this TPM cannot be used", t.Start))
	default:
		p.Warnings = append(p.Warnings, fmt.Sprintf("unknown start method %v", t.Start))
	}
	if t.Start != StartTIS {
		area, err := memory(t.Control, areaSize)
		if err != nil {
			return p, fmt.Errorf("tpmhw: control area at %#x: %w", t.Control, err)
		}
		for _, b := range [][2]int{{areaCommand, areaCommandSize}, {areaResponse, areaRespSize}} {
			at := uint64(area.Read32(b[0])) | uint64(area.Read32(b[0]+4))<<32
			n := area.Read32(b[1])
			if n < 10 || at == 0 || at+uint64(n) < at {
				return p, fmt.Errorf("%w: CRB buffer of %d bytes at %#x", ErrAbsent, n, at)
			}
			add(at, uint64(min(n, maxBuffer)))
		}
	}
	p.IOMem = ranges(pages)
	return p, nil
}

// ranges returns the ranges of consecutive page numbers, as IOMem has them.
func ranges(pages map[uint64]bool) []string {
	var numbers []uint64
	for n := range pages {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var all []string
	for i := 0; i < len(numbers); {
		j := i + 1
		for j < len(numbers) && numbers[j] == numbers[j-1]+1 {
			j++
		}
		all = append(all, fmt.Sprintf("%x,%x", numbers[i], j-i))
		i = j
	}
	return all
}

// String returns lines for the configuration of the domain, with the warnings as
// comments.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "iomem = [\"%s\"]\n", strings.Join(p.IOMem, "\", \""))
	if p.Parameter != "" {
		fmt.Fprintf(&b, "extra = \"%s\"\n", p.Parameter)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "# %s\n", w)
	}
	return b.String()
}
