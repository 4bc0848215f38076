package drive

import "fmt"

// Shrink removes events as long as the same invariant is violated.
func (f *Found) Shrink(mk *Maker) *Found {
	best := f.Events[:min(f.Violation.At+1, len(f.Events))]
	last := f.Violation
	fails := func(events []Event) bool {
		_, err := Replay(mk, f.Seed, events)
		v, ok := err.(*Violation)
		if ok && v.Invariant == f.Violation.Invariant {
			last = v
			return true
		}
		return false
	}
	if !fails(best) {
		return f // a check of the generator, or not reproducible
	}
	for n := len(best) / 2; n > 0; {
		shorter := false
		for at := len(best) - n; at >= 0; at -= n {
			try := append(append([]Event{}, best[:at]...), best[at+n:]...)
			if fails(try) {
				best, shorter = try, true
			}
		}
		if n == 1 && !shorter {
			break
		}
		n = max(n/2, 1)
	}
	best = best[:min(len(best), last.At+1)]
	fails(best)
	return &Found{f.Seed, best, last}
}

// String returns the events in the form that ReadEvents parses, and the violation.
func (f *Found) String() string {
	s := fmt.Sprintf("# seed %d: %v\n", f.Seed, f.Violation)
	for _, e := range f.Events {
		s += e.String()
		if w := parse(e.Command); w.code != 0 {
			s += " # " + w.code.String()
		}
		s += "\n"
	}
	return s
}

// Kind returns the invariant and the command. It is the same for violations that
// probably have the same cause.
func (f *Found) Kind() string {
	e := f.Events[f.Violation.At]
	by := string(e.Kind)
	if w := parse(e.Command); w.code != 0 {
		by = w.code.String()
	}
	switch f.Violation.Invariant {
	case Loads, Resumes, NoOracle: // the command tells nothing
		return f.Violation.Invariant
	}
	return f.Violation.Invariant + ", by " + by
}
