// Package launch measures a PVH guest whose kernel Xen's toolstack has loaded and
// that has not run yet, and predicts that measurement from the files.
//
// Measure reads the guest's memory: what the guest runs is hashed, not what a
// configuration states. Predict lays files out in memory as the toolstack does and
// passes that memory to Measure. Both return an event log, which the measurer
// extends into the guest's TPM; docs/measured-boot.md lists which PCR holds what.
//
// Structures are those of Xen's public/arch-x86/hvm/start_info.h. Package launch has
// no build tag and runs anywhere.
package launch
