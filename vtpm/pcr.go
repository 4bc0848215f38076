package vtpm

import "stubtpm/vtpm/tcg"

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
