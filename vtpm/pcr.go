package vtpm

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// numPCR is the number of PCRs in a bank (PC Client Platform TPM Profile,
// "PCR Requirements").
const numPCR = 24

// pcrLocalities says, as TPMA_LOCALITY, from where a PCR may be reset by
// TPM2_PCR_Reset and from where it may be extended.
type pcrLocalities struct{ reset, extend uint8 }

// pcrRules follows the PC Client Platform TPM Profile, "PCR Attributes".
// Those not listed cannot be reset and may be extended from everywhere.
func pcrRules(n int) pcrLocalities {
	switch n {
	case 16, 23:
		return pcrLocalities{0x0F, 0x1F}
	case 17, 18:
		return pcrLocalities{0x10, 0x1C}
	case 19:
		return pcrLocalities{0x10, 0x0C}
	case 20:
		return pcrLocalities{0x14, 0x0E}
	case 21, 22:
		return pcrLocalities{0x14, 0x04}
	}
	return pcrLocalities{0, 0x1F}
}

// pcrSaved reports whether Shutdown(STATE) keeps the PCR.
func pcrSaved(n int) bool { return n < 16 }

// pcrIsDRTM reports whether the PCR is set by a dynamic launch: all ones
// until then.
func pcrIsDRTM(n int) bool { return n >= 17 && n <= 22 }

// pcrCounts reports whether a change of the PCR counts in the PCR update
// counter (TPM_PT_PCR_NO_INCREMENT has the others).
func pcrCounts(n int) bool { return n < 16 || n > 16 && n < 21 }

// A pcrBank has the PCRs of one hash algorithm.
type pcrBank struct {
	alg    tcg.TPMAlgID
	size   int
	exists uint32 // PCRs allocated, one bit each
	values [numPCR][tcg.MaxDigestSize]byte
}

type pcrState struct{ banks []pcrBank }

func (b *pcrBank) has(n int) bool { return n < numPCR && b.exists&(1<<n) != 0 }

// value returns PCR n, to be read: changes go through pcrEdit.
func (b *pcrBank) value(n int) []byte { return b.values[n][:b.size] }

// pcrEdit returns PCR n of b to be changed, and keeps its value for undo.
func (d *Device) pcrEdit(b *pcrBank, n int) []byte {
	d.before.pcrs = append(d.before.pcrs, pcrWas{b, n, b.values[n]})
	return b.values[n][:b.size]
}

func (d *Device) pcrBank(alg tcg.TPMAlgID) *pcrBank {
	for i := range d.vol.pcrs.banks {
		if b := &d.vol.pcrs.banks[i]; b.alg == alg {
			return b
		}
	}
	return nil
}

// defaultBanks is the allocation at manufacture: every PCR in each bank that
// the profile enables.
func (d *Device) defaultBanks() []tcg.TPMSPCRSelection {
	var banks []tcg.TPMSPCRSelection
	for _, alg := range d.profile.PCRBanks() {
		banks = append(banks, tcg.TPMSPCRSelection{
			Hash:          alg,
			TPMSPCRSelect: tcg.TPMSPCRSelect{Size: 3, PCRSelect: [tcg.PCRSelectMax]byte{0xFF, 0xFF, 0xFF}},
		})
	}
	return banks
}

func (d *Device) pcrImplemented(h tcg.TPMHandle) bool { return h < numPCR }

// pcrExtend extends PCR n of one bank (Part 1, "Extend of a PCR"). The PCR
// update counter counts each bank (Part 3, 22.1).
func (d *Device) pcrExtend(b *pcrBank, n int, v []byte) {
	if !b.has(n) {
		return
	}
	h := newHash(b.alg)
	h.Write(b.value(n))
	h.Write(v)
	h.Sum(d.pcrEdit(b, n)[:0])
	d.pcrChanged(n)
}

func (d *Device) pcrChanged(n int) {
	if pcrCounts(n) {
		d.reset.pcrUpdateCounter++
	}
}

// pcrSet sets PCR n of every bank to all zeros or all ones. That counts as a
// change, so that a policy session that saw the old value cannot be used with
// the new one (Part 1, 16.7.7.6).
func (d *Device) pcrSet(n int, fill byte) {
	for i := range d.vol.pcrs.banks {
		b := &d.vol.pcrs.banks[i]
		copy(d.pcrEdit(b, n), bytes.Repeat([]byte{fill}, b.size))
	}
	d.pcrChanged(n)
}

// pcrAllocate makes the banks that the permanent state says, all PCRs zero.
func (d *Device) pcrAllocate() {
	d.vol.pcrs = pcrState{}
	for _, s := range d.perm.pcrBanks {
		b := pcrBank{alg: s.Hash, size: hashSize(s.Hash)}
		for i, bits := range s.PCRSelect {
			b.exists |= uint32(bits) << (8 * i)
		}
		b.exists &= 1<<numPCR - 1
		if b.exists != 0 {
			d.vol.pcrs.banks = append(d.vol.pcrs.banks, b)
		}
	}
}

// pcrStartup sets the PCRs at TPM2_Startup. With resume those that
// Shutdown(STATE) keeps come back.
func (d *Device) pcrStartup(resume bool) {
	if !d.vol.hcrtm {
		d.pcrAllocate()
	}
	for n := range numPCR {
		switch {
		case resume && pcrSaved(n): // pcrRestore sets it
		case n == 0 && d.vol.hcrtm: // _TPM_Hash_Start to _TPM_Hash_End set it
		case pcrIsDRTM(n):
			d.pcrSet(n, 0xFF)
		default:
			d.pcrSet(n, 0)
		}
	}
	if resume {
		d.pcrRestore(d.perm.savedPCR)
	} else if !d.vol.hcrtm {
		for i := range d.vol.pcrs.banks {
			b := &d.vol.pcrs.banks[i]
			d.pcrEdit(b, 0)[b.size-1] = d.vol.startupLocality
		}
	}
}

// pcrSave returns the PCRs that Shutdown(STATE) keeps.
func (d *Device) pcrSave() [][]byte {
	var saved [][]byte
	for i := range d.vol.pcrs.banks {
		b := &d.vol.pcrs.banks[i]
		for n := range numPCR {
			if pcrSaved(n) {
				saved = append(saved, bytes.Clone(b.value(n)))
			}
		}
	}
	return saved
}

func (d *Device) pcrRestore(saved [][]byte) {
	for i := range d.vol.pcrs.banks {
		b := &d.vol.pcrs.banks[i]
		for n := range numPCR {
			if pcrSaved(n) && len(saved) > 0 {
				copy(d.pcrEdit(b, n), saved[0])
				saved = saved[1:]
			}
		}
	}
}

// pcrFilter clears from a selection the PCRs that are not there, as
// TPM2_PCR_Read and TPM2_Quote report it.
func (d *Device) pcrFilter(sel *tcg.TPMLPCRSelection) (out tcg.TPMLPCRSelection) {
	for _, s := range sel.All() {
		b := d.pcrBank(s.Hash)
		for n := range numPCR {
			if b == nil || !b.has(n) {
				s.Clear(n)
			}
		}
		out.Append(s)
	}
	return out
}

// pcrDigest is the digest over the selected PCRs, in the order of the
// selection and of rising number (Part 1, "PCR Digest"). sel must come from
// pcrFilter.
func (d *Device) pcrDigest(alg tcg.TPMAlgID, sel *tcg.TPMLPCRSelection) []byte {
	h := newHash(alg)
	for i := range sel.All() {
		s := sel.At(i)
		b := d.pcrBank(s.Hash)
		for n := range numPCR {
			if s.Has(n) {
				h.Write(b.value(n))
			}
		}
	}
	return h.Sum(nil)
}

// pcrAuthOf and pcrPolicyOf return what TPM2_PCR_SetAuthValue and
// TPM2_PCR_SetAuthPolicy set. The PC Client profile has no PCR with either.
// So both maps are empty, and undo need not copy them: it must, once there is a
// PCR with either.
func (d *Device) pcrAuthOf(h tcg.TPMHandle) []byte { return d.clear.pcrAuth[int(h)] }

func (d *Device) pcrPolicyOf(h tcg.TPMHandle) *authPolicy {
	if p, ok := d.clear.pcrPolicy[int(h)]; ok {
		return &p
	}
	return nil
}
