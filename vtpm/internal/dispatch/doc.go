// Package dispatch runs commands on a TPM: the steps of TPM 2.0 Library, Part 3,
// section 5, which every command has in common, in the order of that section.
//
// [Table.Execute] is that list. What a step refuses is answered with a response code
// and leaves no trace, except that failed authorizations stay counted. An error that
// is no response code, and a panic, are faults of the device: it enters failure mode.
package dispatch
