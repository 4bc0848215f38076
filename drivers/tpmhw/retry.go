package tpmhw

import (
	"encoding/binary"
	"time"
)

// Response codes that ask for the same command again (TPM 2.0 Part 2, 6.6.3). The
// TPM has changed nothing, not even the sessions' nonces, so the same bytes are
// still valid.
const (
	rcYielded       = 0x908
	rcTesting       = 0x90A
	rcNVRate        = 0x920
	rcRetry         = 0x922
	rcNVUnavailable = 0x923
)

// A command is sent up to maxTries times, with a pause before each repetition
// that starts at firstPause and doubles. A self-test takes about a second on slow
// TPMs; the pauses add up to about five.
const (
	maxTries   = 9
	firstPause = 20 * time.Millisecond
)

// A retrying TPM repeats commands for which the TPM was too busy. The caller gets
// the response to the last try, whatever it is.
type retrying struct {
	TPM
	clock Clock
}

func (t *retrying) Send(command []byte) ([]byte, error) {
	pause := firstPause
	for try := 1; ; try++ {
		response, err := t.TPM.Send(command)
		if err != nil || try == maxTries || !asksRetry(response) {
			return response, err
		}
		t.clock.Sleep(pause)
		pause *= 2
	}
}

// asksRetry reports whether a response asks for the same command again.
func asksRetry(response []byte) bool {
	switch binary.BigEndian.Uint32(response[6:]) {
	case rcYielded, rcTesting, rcNVRate, rcRetry, rcNVUnavailable:
		return true
	}
	return false
}
