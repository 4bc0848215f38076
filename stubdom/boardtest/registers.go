//go:build tamago

package main

import (
	"fmt"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen/xenbus"
)

// Registers of a TPM's locality 0 (TCG PC Client Platform TPM Profile
// Specification 1.06, section 6.5.2).
const (
	tpmBase   = 0xfed40000
	tpmPages  = 5
	tpmAccess = 0
	tpmDidVid = 0xf00

	tpmInterface = 0x30 // type of interface in the low four bits
	tpmCrbDidVid = 0x34 // TPM_CRB_INTF_ID, upper half
	typeCRB      = 1

	requestUse     = 1 << 1
	activeLocality = 1 << 5
)

// testRegisters identifies the TPM's interface. With a FIFO it requests locality 0
// and relinquishes it.
func testRegisters(xenbus.Domain) (string, error) {
	r, err := board.MapMMIO(tpmBase, tpmPages)
	if err != nil {
		return "", err
	}
	if v := r.Read32(tpmInterface); v&15 == typeCRB {
		id := r.Read32(tpmCrbDidVid)
		if id == 0 || id == ^uint32(0) {
			return "", fmt.Errorf("CRB with identification %#x", id)
		}
		return fmt.Sprintf("CRB %#x, identification %#x", v, id), nil
	}
	id := r.Read32(tpmDidVid)
	if id == 0 || id == ^uint32(0) {
		return "", fmt.Errorf("identification %#x", id)
	}
	r.Write8(tpmAccess, requestUse)
	for deadline := time.Now().Add(time.Second); r.Read8(tpmAccess)&activeLocality == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return "", fmt.Errorf("locality 0 is not granted: access %#x", r.Read8(tpmAccess))
		}
	}
	r.Write8(tpmAccess, activeLocality)
	return fmt.Sprintf("identification %#x", id), nil
}
