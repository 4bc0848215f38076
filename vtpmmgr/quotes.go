package vtpmmgr

import (
	"sync"
	"time"

	"stubtpm/vtpmmgr/evidence"
)

// quotes has those who ask at the same time share one quote of the hardware TPM.
type quotes struct {
	mu      sync.Mutex
	waiting []*asked
	busy    bool
}

// An asked is one that waits, and its answer.
type asked struct {
	identity *hostIdentity
	leaf     evidence.Hash
	done     chan struct{}

	proof    *evidence.Proof
	hardware []byte
	took     time.Duration // of the hardware TPM
	err      error
}

// gather is for how long the first one waits for others.
const gather = 20 * time.Millisecond

// quote returns the answer for a leaf.
func (q *quotes) quote(h *hostIdentity, leaf evidence.Hash, sign quoter) *asked {
	a := &asked{identity: h, leaf: leaf, done: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, a)
	if !q.busy {
		q.busy = true
		go q.serve(sign)
	}
	q.mu.Unlock()
	<-a.done
	return a
}

// serve answers until nobody waits. After each quote the hardware TPM is left to others for
// as long as the quote took.
func (q *quotes) serve(sign quoter) {
	rest := gather
	for {
		time.Sleep(rest)
		q.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		q.busy = len(batch) > 0
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		start := time.Now()
		answer(batch, sign)
		rest = max(gather, time.Since(start))
	}
}

// A quoter quotes over leaves, and returns for how long it used the hardware TPM.
type quoter func(h *hostIdentity, leaves []evidence.Hash) (quote []byte, took time.Duration, err error)

// answer answers a batch by one quote for each identity: there are two only while an order
// replaces one.
func answer(batch []*asked, sign quoter) {
	for len(batch) > 0 {
		h := batch[0].identity
		var these, others []*asked
		var leaves []evidence.Hash
		for _, a := range batch {
			if a.identity != h || len(leaves) == evidence.MaxLeaves {
				others = append(others, a)
				continue
			}
			these, leaves = append(these, a), append(leaves, a.leaf)
		}
		hardware, took, err := sign(h, leaves)
		for i, a := range these {
			a.proof, a.hardware, a.err, a.took = evidence.Prove(leaves, i), hardware, err, took
			close(a.done)
		}
		batch = others
	}
}
