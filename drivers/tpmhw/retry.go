package tpmhw

import (
	"encoding/binary"
	"time"
)

// Response codes that ask for the same command once more (TPM 2.0 Part 2,
// 6.6.3): in each case nothing was changed yet, and the sessions' nonces are
// as before, so that the same bytes are valid again.
const (
	rcYielded       = 0x908
	rcTesting       = 0x90A
	rcNVRate        = 0x920
	rcRetry         = 0x922
	rcNVUnavailable = 0x923
)

// A command is sent up to maxTries times in all, with a pause before each
// repetition that begins at firstPause and doubles. A self-test takes about a
// second on slow parts; the sum of the pauses is about five.
const (
	maxTries   = 9
	firstPause = 20 * time.Millisecond
)

// retrying repeats commands that the TPM was too busy for. What it still
// answers so after the last try goes to the caller.
type retrying struct {
	TPM
	clock Clock
}

func (t *retrying) Send(command []byte) ([]byte, error) {
	pause := firstPause
	for try := 1; ; try++ {
		response, err := t.TPM.Send(command)
		if err != nil || try == maxTries || !again(response) {
			return response, err
		}
		t.clock.Sleep(pause)
		pause *= 2
	}
}

// again reports whether a response asks for the command once more.
func again(response []byte) bool {
	switch binary.BigEndian.Uint32(response[6:]) {
	case rcYielded, rcTesting, rcNVRate, rcRetry, rcNVUnavailable:
		return true
	}
	return false
}
