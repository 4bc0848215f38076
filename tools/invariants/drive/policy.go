package drive

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// pcrValues are the values that PCRs had when TPM2_PolicyPCR asserted them.
type pcrValues struct {
	selection []byte // TPML_PCR_SELECTION
	values    []byte
}

// readPCRs returns the values of the PCRs of a selection.
func readPCRs(m *machine, selection []byte) []byte {
	var all []byte
	left := bytes.Clone(selection)
	for range 32 {
		r := m.Execute(0, command(tcg.TPMCCPCRRead, left))
		_, p := respond(tcg.TPMCCPCRRead, r)
		if len(p) < 4+len(left)+4 {
			break
		}
		out, digests := p[4:4+len(left)], p[4+len(left):]
		if be32(digests) == 0 {
			break
		}
		all = append(all, digests...)
		for i := 4; i+3 <= len(left); { // take out what was read
			n := int(left[i+2])
			for j := i + 3; j < i+3+n && j < len(left); j++ {
				left[j] &^= out[j]
			}
			i += 3 + n
		}
	}
	return all
}

// policyHolds checks that a policy session which asserted PCRs authorizes only while
// the PCRs have the same values as then (Part 1, 16.7.7.6).
func (c *Checker) policyHolds(before *snapshot, e Event, w *wire, answer []byte) error {
	if rcOf(answer) != 0 {
		return nil
	}
	h, _ := respond(w.code, answer)
	switch w.code {
	case tcg.TPMCCStartAuthSession:
		delete(c.asserted, h)
		delete(c.valued, h)
	case tcg.TPMCCPolicyRestart:
		delete(c.asserted, w.handles[0])
	case tcg.TPMCCPolicyPCR:
		_, selection := take2B(w.params)
		for _, a := range w.auths {
			if a.attrs&(1<<5) != 0 && len(selection) == 0 { // pcrDigest encrypted, its size is not
				return nil
			}
		}
		t, err := c.last.resume(c.mk)
		if err != nil {
			return nil
		}
		c.asserted[w.handles[0]] = append(c.asserted[w.handles[0]], pcrValues{selection, readPCRs(t, selection)})
	}
	for i, a := range w.auths {
		list := c.asserted[a.handle]
		if _, ok := w.authorizes(i); !ok || len(list) == 0 {
			continue
		}
		t, err := before.resume(c.mk)
		if err != nil {
			return nil
		}
		c.Stats.PolicyUses++
		for _, v := range list {
			if now := readPCRs(t, v.selection); !bytes.Equal(now, v.values) {
				return violated(PolicyPCR, "session %08x, selection %x", a.handle, v.selection)
			}
		}
		delete(c.asserted, a.handle) // it was used up
	}
	return nil
}
