package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// cappedPCRs are those that only a reset of the machine sets back (TCG PC
// Client Platform TPM Profile 1.06, section 4.6, table of PCR attributes). The
// others a guest may reset itself.
const cappedPCRs = 16

// capEvent is what is extended into each of them for a guest of which nobody says
// that it was just created.
const capEvent = "stubtpm: not the start of this guest"

// capPCRs makes the PCRs unlike those of any machine that was just switched on. Else
// a guest could have its vTPM crash, or be saved and restored, and then extend what it
// likes.
func (h *guestHandler) capPCRs() error {
	for pcr := range uint32(cappedPCRs) {
		var b bytes.Buffer
		// TPM2_PCR_Event with an empty password (Part 3, section 22.3).
		b.Write([]byte{0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x3C})
		binary.Write(&b, binary.BigEndian, pcr)
		b.Write([]byte{0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0})
		binary.Write(&b, binary.BigEndian, uint16(len(capEvent)))
		b.WriteString(capEvent)
		command := b.Bytes()
		binary.BigEndian.PutUint32(command[2:], uint32(len(command)))
		if r := h.device.Execute(0, command); string(r[6:10]) != "\x00\x00\x00\x00" {
			return fmt.Errorf("TPM2_PCR_Event(%d): response code %#x", pcr, r[6:10])
		}
	}
	return nil
}
