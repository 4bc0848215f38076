package vtpmmgr

import (
	"time"
)

// A rate is what a vTPM may use of something: so much at once, and so much each
// second.
type rate struct {
	burst, perSecond float64
}

// What one vTPM may use. A guest that provisions itself writes some hundred times;
// one that goes on so gets its share, and the others theirs.
var (
	commitRate = rate{burst: 1024, perSecond: 32}

	// In a mode in which each commit wears the hardware TPM.
	strictRate = rate{burst: 64, perSecond: 0.1}

	// Orders of one group's approver, and in a mode in which each one wears the
	// hardware TPM. The administrator's are not counted.
	orderRate       = rate{burst: 256, perSecond: 1}
	strictOrderRate = rate{burst: 64, perSecond: 0.02}

	// Moves of a group's vTPMs from or to this host, each of which wears the hardware TPM
	// twice, in every mode.
	moveRate = rate{burst: 256, perSecond: 1.0 / 3600}

	// Seconds of the hardware TPM, for LOAD and RANDOM.
	tpmRate = rate{burst: 2, perSecond: 0.05}

	// Requests to certify: at a start that finds that it must be, after TPM2_ChangeEPS,
	// and what a guest asks for its attestation keys.
	certifyRate = rate{burst: 8, perSecond: 1.0 / 86400}
)

// A bucket is what one vTPM has left of a rate.
type bucket struct {
	used float64 // of the burst
	last time.Time
}

// refill counts the time that has passed.
func (b *bucket) refill(r rate, now time.Time) {
	b.used = max(0, b.used-max(0, now.Sub(b.last).Seconds())*r.perSecond) // a clock may go back
	b.last = now
}

// take takes so much, if it is there.
func (b *bucket) take(r rate, n float64, now time.Time) bool {
	if b.refill(r, now); b.used+n > r.burst {
		return false
	}
	b.used += n
	return true
}

// shares are the buckets of one vTPM. They outlive its connections.
type shares struct{ commits, tpm, certificates bucket }
