package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// An anchoring is how a root is tied to the hardware TPM.
type anchoring int

const (
	later      anchoring = iota // by a checkpoint to come: bounded mode
	link                        // by the PCR
	checkpoint                  // by the NV index
)

// extended is the value of an anchor after an extension.
func extended(value, d [32]byte) [32]byte {
	return sha256.Sum256(append(value[:], d[:]...))
}

// committed reports whether the NV index's value is that of a root's checkpoint.
func (r *root) committed(encoded []byte, value [32]byte) bool {
	return extended(r.base, sha256.Sum256(encoded)) == value
}

// An unsure is an extension that may have been taken.
type unsure struct {
	how  anchoring
	next [32]byte // value if it was
}

// errAgain says that a commit was not anchored, for certain, and may be if it is
// written anew: the choice how has changed.
var errAgain = errors.New("ledger: to be anchored in another way")

// extend anchors a root. Unknown says that it may have happened or not.
func (s *Store) extend(encoded []byte, how anchoring) (unknown bool, err error) {
	d := sha256.Sum256(encoded)
	if how == link {
		return s.extendChain(d)
	}
	next := extended(s.value, d)
	err = s.cfg.Anchor.Extend(d)
	if err != nil {
		v, why := s.cfg.Anchor.Value()
		switch {
		case why != nil:
			return true, s.inDoubt(err, why, checkpoint, next)
		case v == s.value:
			err = fmt.Errorf("ledger: hardware TPM: %w", err)
			s.setHealth(err)
			if s.root.mode.Daily != 0 && s.fresh {
				// The chain serves without it; the NV index is left alone a while.
				s.nvRetry = time.Now().Add(checkpointDelay)
				err = fmt.Errorf("%w: %w", errAgain, err)
			}
			return false, err
		case v != next:
			return false, s.lost(v)
		}
	}
	s.value, s.fresh = next, true
	s.setHealth(nil)
	return false, nil
}

// extendChain anchors by the PCR.
func (s *Store) extendChain(d [32]byte) (unknown bool, err error) {
	next := extended(s.pcr, d)
	for range 2 { // the first failure may be that of a session that was lost
		if err = s.cfg.Anchor.Link(d); err == nil {
			s.pcr = next
			return false, nil
		}
		v, boot, why := s.cfg.Anchor.Chain()
		switch {
		case why != nil:
			return true, s.inDoubt(err, why, link, next)
		case boot != s.boot:
			s.newBoot(v, boot)
			return false, fmt.Errorf("%w: %w", errAgain, err)
		case v == next:
			s.pcr = next
			return false, nil
		case v != s.pcr:
			return false, s.lost(v)
		}
	}
	err = fmt.Errorf("ledger: hardware TPM: %w", err)
	s.setHealth(err)
	return false, err
}

func (s *Store) inDoubt(err, why error, how anchoring, next [32]byte) error {
	err = fmt.Errorf("%w: %w; %w", ErrDoubt, err, why)
	s.setHealth(err)
	s.unsure = &unsure{how, next}
	return err
}

// newBoot notes that the hardware TPM was reset: the next commit is a checkpoint.
func (s *Store) newBoot(pcr [32]byte, boot uint64) {
	s.cfg.Log("ledger: the hardware TPM was reset; the next commit is a checkpoint")
	s.pcr, s.boot, s.fresh = pcr, boot, false
}

// chain makes sure that the PCR's value is known before a checkpoint from
// which a chain begins.
func (s *Store) chain(m Mode) error {
	if m.Daily == 0 || s.root.mode.Daily != 0 && s.fresh {
		return nil
	}
	v, boot, err := s.cfg.Anchor.Chain()
	if err != nil {
		err = fmt.Errorf("ledger: hardware TPM: %w", err)
		s.setHealth(err)
		return err
	}
	s.pcr, s.boot = v, boot
	return nil
}

// lost says that somebody else extends the anchor.
func (s *Store) lost(v [32]byte) error {
	s.broken = fmt.Errorf("%w: it went on to %x without this ledger, which is at commit %d", ErrRolledBack, v[:4], s.root.sequence)
	s.setHealth(s.broken)
	return s.broken
}

func (s *Store) setHealth(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = err
}

func (s *Store) setWear(w wear) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wear = w
}

// settle finds out what became of an extension that was not answered.
func (s *Store) settle() error {
	if s.broken != nil {
		return s.broken
	}
	if s.unsure == nil {
		return nil
	}
	happened, err := s.ask()
	if err != nil {
		return err
	}
	s.setHealth(nil)
	a, how := s.doubt, s.unsure.how
	s.unsure, s.doubt = nil, nil
	switch {
	case a == nil && happened: // only a checkpoint of what is served anyway
		s.checkpointed()
	case happened:
		s.apply(a)
		s.settled(how)
		s.eraseNow()
		return ErrSettled
	case a != nil:
		s.drop(a)
	}
	return nil
}

// ask asks the anchor whether it took what is unsure.
func (s *Store) ask() (happened bool, err error) {
	u := s.unsure
	var v [32]byte
	boot, last := s.boot, &s.value
	if u.how == link {
		last = &s.pcr
		v, boot, err = s.cfg.Anchor.Chain()
	} else {
		v, err = s.cfg.Anchor.Value()
	}
	switch {
	case err != nil:
		err = fmt.Errorf("ledger: hardware TPM: %w", err)
		s.setHealth(err)
		return false, err
	case boot != s.boot:
		// If it was taken, it is gone with the reset. Nobody was answered.
		s.newBoot(v, boot)
		return false, nil
	case v != u.next && v != *last:
		return false, s.lost(v)
	}
	if v == u.next && u.how == checkpoint {
		s.fresh = true
	}
	*last = v
	return v == u.next, nil
}

// Settle finds out what became of a commit that failed with ErrDoubt: nil if
// nothing is in doubt or it did not happen, ErrSettled once if it did, and
// what the anchor says if nobody knows still.
func (s *Store) Settle() error { return s.alone(s.settle) }

// settled notes how the store's root is anchored now.
func (s *Store) settled(how anchoring) {
	switch {
	case how == checkpoint:
		s.anchored()
	case s.pending.IsZero():
		s.pending = time.Now()
		if how == later {
			s.schedule(s.root.mode.Bounded * 3 / 4)
		}
	}
}

// anchored notes that all that the store has is in the NV index.
func (s *Store) anchored() {
	s.pending, s.want = time.Time{}, 0
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// checkpointed counts a checkpoint of the root as it is.
func (s *Store) checkpointed() {
	w := s.wear
	w.advance(time.Now(), s.root.mode.Daily)
	w.spend(s.root.sequence, time.Now())
	s.setWear(w)
	s.anchored()
}

// anchor extends the NV index by the root as it is, if it was not yet.
func (s *Store) anchor() error {
	if s.pending.IsZero() {
		return nil
	}
	_, err := s.extend(s.encoded, checkpoint)
	if err == nil {
		s.checkpointed()
	}
	return err
}

// schedule anchors later.
func (s *Store) schedule(after time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(after, func() {
		err := s.alone(s.due)
		if err != nil && !errors.Is(err, ErrClosed) {
			s.cfg.Log("%v", err)
		}
	})
}

// soon has a checkpoint made of commits that were linked, once there is the
// credit for the most urgent of them.
func (s *Store) soon(batch []*waiter) {
	want := int64(0)
	for _, w := range batch {
		if n := w.class.need(s.root.mode.Daily); w.class.Urgency != Idle && (want == 0 || n < want) {
			want = n
		}
	}
	if want == 0 || s.want != 0 && s.want <= want {
		return
	}
	s.want = want
	s.schedule(max(checkpointDelay, s.dueIn(want)))
}

// dueIn returns how long it takes until a checkpoint may be made that wants so
// much credit. What is overdue needs no more than what vTPMs can ask for at once, so
// that these cannot put it off.
func (s *Store) dueIn(want int64) time.Duration {
	daily := s.root.mode.Daily
	overdue := time.UnixMilli(s.wear.markTime).Add(2 * day / time.Duration(daily))
	late := max(time.Until(overdue), s.wear.until(min(want, sourced(daily)), daily))
	return max(0, min(late, s.wear.until(want, daily)))
}

// due makes the checkpoint that was scheduled, or schedules it again.
func (s *Store) due() error {
	err := s.settle()
	if errors.Is(err, ErrSettled) {
		err = nil
	}
	if daily := s.root.mode.Daily; err == nil && daily != 0 {
		w := s.wear
		w.advance(time.Now(), daily)
		s.setWear(w)
		if s.want == 0 {
			return nil
		}
		if wait := s.dueIn(s.want); wait > 0 {
			s.schedule(wait)
			return nil
		}
	}
	return s.anchorOr(err)
}

// anchorOr anchors now or, if that fails, soon.
func (s *Store) anchorOr(err error) error {
	if err == nil {
		err = s.anchor()
	}
	if err != nil && s.broken == nil && !s.pending.IsZero() {
		again := max(s.root.mode.Bounded, time.Second)
		if s.root.mode.Daily != 0 {
			again = checkpointDelay
		}
		s.schedule(again)
	}
	return err
}

// inTime makes sure that no commit is added to one that should be anchored
// already.
func (s *Store) inTime() error {
	if s.root.mode.Bounded == 0 || s.pending.IsZero() || time.Since(s.pending) < s.root.mode.Bounded {
		return nil
	}
	if err := s.anchor(); err != nil {
		// Not %w: what is in doubt is not the commit that waits.
		return fmt.Errorf("ledger: earlier commits could not be anchored in time: %v", err)
	}
	return nil
}

// Sync makes a checkpoint now, if there is anything that is in none.
func (s *Store) Sync() error {
	return s.alone(func() error {
		err := s.settle()
		if errors.Is(err, ErrSettled) {
			err = nil
		}
		return s.anchorOr(err)
	})
}

// ErrWeaker says that a mode is weaker than the ledger's: it needs an order.
var ErrWeaker = errors.New("ledger: more could be taken back in this mode than in the present one")

// SetMode changes the mode to one that is not weaker, or fails with ErrWeaker.
// A change is a commit of its own, and a checkpoint.
func (s *Store) SetMode(m Mode) error { return s.change(m, false) }

// Weaken changes the mode to any. Whoever calls it has made sure that the owner
// wants it.
func (s *Store) Weaken(m Mode) error { return s.change(m, true) }

func (s *Store) change(m Mode, weaken bool) error {
	if err := m.Check(); err != nil {
		return err
	}
	return s.alone(func() error {
		if !weaken && m.WeakerThan(s.root.mode) {
			return fmt.Errorf("%w: %v, and it is %v", ErrWeaker, m, s.root.mode)
		}
		return s.setMode(m)
	})
}

func (s *Store) setMode(m Mode) error {
	if err := s.settle(); err != nil {
		return err
	}
	if s.root.mode == m {
		return nil
	}
	if err := s.chain(m); err != nil {
		return err
	}
	if err := s.finish(s.begin(checkpoint, m), checkpoint); err != nil {
		return err
	}
	s.cfg.Log("ledger: mode is %v from commit %d on", m, s.root.sequence)
	return nil
}

// Mode returns the mode that is in force. It does not wait for commits.
func (s *Store) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// Close makes a checkpoint of what is in none and ends the store, also on error.
func (s *Store) Close() error {
	return s.alone(func() error {
		err := s.settle()
		if err == nil || errors.Is(err, ErrSettled) {
			err = s.anchor()
		}
		if s.timer != nil {
			s.timer.Stop()
		}
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		return err
	})
}
