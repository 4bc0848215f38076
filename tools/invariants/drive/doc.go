// Package drive drives a TPM with the commands of package stream's generator, power
// cycles, a failing store and the passage of time, and checks after each step the
// invariants that must hold whatever was sent: see the constants.
//
// A seed and a list of events determine everything that happens. [Replay] repeats a
// violation, and [Shrink] shortens its list of events.
package drive
