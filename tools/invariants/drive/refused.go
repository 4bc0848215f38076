package drive

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// tied is the number of bytes at the start of a volatile state that identify the
// permanent state it belongs to and contain when authorizations failed.
const tied = 4 + 2 + 2 + 32 + 2 + 3*8

// refused checks that a command which failed changed nothing, with these exceptions:
//
//   - after a failed authorization, the counts of dictionary attack protection and their
//     times, and the pinCount of a PIN Fail index, whether they could be saved or not;
//   - after a successful authorization with the authValue of a PIN index, if the command
//     failed for another reason, the pinCount of that index;
//   - Clock as it was saved, if time has passed, and self-healed authorization failures,
//     if the store failed at that time;
//   - after a failed authorization of an orderly PIN index, that TPM2_Shutdown is stale.
func (c *Checker) refused(before *snapshot, _ Event, w *wire, answer []byte) error {
	rc := rcOf(answer)
	if rc == 0 {
		return nil
	}
	counted := of(rc, tcg.TPMRCAuthFail) || of(rc, tcg.TPMRCBadAuth) || rc == tcg.TPMRCLockout || rc == tcg.TPMRCNVUnavailable || c.m.store.fails != 0
	for i := range w.auths {
		if h, ok := w.authorizes(i); ok && c.pins[h] != nil {
			return nil
		}
	}
	a, b := before.volatile, c.last.volatile
	// Changes that were due when time passed and could not be saved, such as
	// self-healed authorization failures, are saved before a later command.
	counted = counted || c.held
	counted = counted || len(a) != len(b) // counts that could not be saved were, or the other way
	if counted {
		if len(a) < tied || len(b) < tied {
			return violated(Unchanged, "a volatile state of %d bytes", len(b))
		}
		a, b = c.untied(a, b)
	} else if !bytes.Equal(before.state, c.last.state) && !clockOnly(before, &c.last) {
		return violated(Unchanged, "refused with 0x%03X, permanent state differs at byte %d", uint32(rc), differAt(before.state, c.last.state))
	}
	if !counted && !bytes.Equal(before.state, c.last.state) {
		a, b = a[tied:], b[tied:] // tied to another state
	}
	if !bytes.Equal(a, b) {
		return violated(Unchanged, "refused with 0x%03X, volatile state differs at byte %d", uint32(rc), differAt(before.volatile, c.last.volatile))
	}
	return nil
}

// untied returns two volatile states without what a failed authorization changes: how
// they begin, and counts that could not be saved, which are last: 8 bytes, and 8 for
// each PIN index.
func (c *Checker) untied(a, b []byte) ([]byte, []byte) {
	a, b = a[tied:], b[tied:]
	if at := differAt(a, b); at+8+8*len(c.pins) >= max(len(a), len(b)) {
		return a[:at], b[:at]
	}
	return a, b
}

// clockOnly reports whether two states differ in no more than the eight bytes that a
// Clock has.
func clockOnly(was, is *snapshot) bool {
	a, b := was.state, is.state
	if len(a) != len(b) {
		return false
	}
	first := differAt(a, b)
	last := len(a) - 1
	for last > first && a[last] == b[last] {
		last--
	}
	return last-first < 8
}

// contextLoads checks that a context that was just saved can be loaded.
func (c *Checker) contextLoads(_ *snapshot, e Event, w *wire, answer []byte) error {
	if w.code != tcg.TPMCCContextSave || rcOf(answer) != 0 {
		return nil
	}
	c.Stats.Contexts++
	t, err := c.last.resume(c.mk)
	if err != nil {
		return violated(Resumes, "%v", err)
	}
	_, context := respond(w.code, answer)
	load := command(tcg.TPMCCContextLoad, context)
	got := rcOf(t.Execute(0, load))
	if got == tcg.TPMRCObjectMemory { // all slots are taken, one of them by the same object
		t.Execute(0, command(tcg.TPMCCFlushContext, u32(w.handles[0])))
		got = rcOf(t.Execute(0, load))
	}
	if got != 0 {
		return violated(ContextLoads, "of %08x: 0x%03X", w.handles[0], uint32(got))
	}
	return nil
}
