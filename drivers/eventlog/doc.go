// Package eventlog is the crypto-agile event log of a measured boot: the list of
// what was extended into a TPM's PCRs before the operating system ran.
//
// It implements the TCG PC Client Platform Firmware Profile (PFP), version 1.06,
// section 10: TCG_EfiSpecIdEvent and TCG_PCR_EVENT2, all numbers little-endian. A
// log is where ACPI's TPM2 table points, or in Linux's file
// /sys/kernel/security/tpm0/binary_bios_measurements. The package has no build tag
// and runs anywhere.
package eventlog
