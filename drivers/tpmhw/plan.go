package tpmhw

import (
	"fmt"
	"slices"
	"strings"
)

// A Plan says what a domain that is to have the TPM needs.
type Plan struct {
	// IOMem are the ranges of pages for xl's iomem option: the number of the
	// first page in hexadecimal, a comma, how many, in hexadecimal.
	IOMem []string

	// Word is for the manager's command line; empty if the registers are at
	// their usual place.
	Word string

	// Warnings are for people.
	Warnings []string
}

// PlanFor returns what the table says that is needed. It reads the control area,
// where there is one, for the places of the buffers.
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
		p.Word = fmt.Sprintf("tpm=%x", t.Control)
	}
	switch t.Start {
	case StartTIS, StartCRB:
	case StartACPI, StartCRBACPI:
		p.Warnings = append(p.Warnings, fmt.Sprintf("the firmware wants start method %v: the manager has no ACPI interpreter and writes the START "+
			"register, which is enough for many firmware TPMs; if commands time out, this TPM cannot be used", t.Start))
	default:
		p.Warnings = append(p.Warnings, fmt.Sprintf("start method %v is not known", t.Start))
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

// ranges puts page numbers together.
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

// String returns lines for a configuration and a reader.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "iomem = [\"%s\"]\n", strings.Join(p.IOMem, "\", \""))
	if p.Word != "" {
		fmt.Fprintf(&b, "extra = \"%s\"\n", p.Word)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "# %s\n", w)
	}
	return b.String()
}
