package signal

// Relay marks a signal as raised; the scheduler delivers it. It may be called
// from an interrupt handler. sig is 1 to 63.
func Relay(sig int)

// Waiting reports whether the goroutine that delivers signals sleeps.
func Waiting() bool
