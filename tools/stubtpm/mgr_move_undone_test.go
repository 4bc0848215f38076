package main

import "testing"

// TestMoveUndone: a manager that cannot do a step for a reason that has nothing to do with the
// move, such as its hardware TPM or its identity, does not say that it was not done before.
func TestMoveUndone(t *testing.T) {
	t.Parallel()
	a, _, _ := newPair(t)
	a.do("-key", a.file("owner"), "enroll", testUUID, "-group", "mail")
	a.do("move", "request", testUUID, "-o", a.file("1"))
	c := newSite(t, nil) // no site has certified it
	c.refused(exitUndone, "no certificates", "move", "offer", a.file("1"), "-o", c.file("x"))
	// What it says of the move is a refusal.
	a.refused(exitRefused, "not received", "move", "again", testUUID, "-o", a.file("x"))
}
