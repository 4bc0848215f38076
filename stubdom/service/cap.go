package service

import "stubtpm/vtpm/tcg"

// cappedPCRs is the number of PCRs that only a reset of the machine clears (TCG PC Client
// Platform TPM Profile 1.06, section 4.6, table of PCR attributes). A guest can reset the
// others itself.
const cappedPCRs = 16

// capEvent is the event that is extended into each of them for a guest that is not known
// to have been just created.
const capEvent = "stubtpm: not the start of this guest"

// capPCRs makes the PCRs differ from those of any machine that was just switched on.
// Otherwise a guest could make its vTPM crash, or have itself saved and restored, and then
// extend any values.
func (h *guestHandler) capPCRs() error {
	for pcr := range tcg.TPMHandle(cappedPCRs) {
		if err := pcrEvent(h.device, pcr, []byte(capEvent)); err != nil {
			return err
		}
	}
	return nil
}
