// Package tpmhw drives a hardware TPM through its registers: the FIFO interface
// (TIS) and the CRB, the two interfaces of the TCG PC Client Platform TPM Profile
// Specification (PTP) 1.06. [Open] finds out which one the TPM has. Each is a
// transport.TPM of google/go-tpm.
//
// Registers, memory and time are interfaces, so that the package has no build tag
// and runs anywhere.
package tpmhw
