// Package drive drives a TPM by what the generator of package stream sends, by power
// cycles, by a store that fails and by time, and checks after each step what must
// hold whatever was sent: see the constants.
//
// All that happens is determined by a seed and a list of events, so that what was found
// is repeated by Replay and made short by Shrink.
package drive
