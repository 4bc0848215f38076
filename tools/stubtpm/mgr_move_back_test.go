package main

import (
	"os"
	"strings"
	"testing"
)

// TestMoveCommandsBack: of a vTPM that has left, and was to come back, both the release and the
// refusal can be had again.
func TestMoveCommandsBack(t *testing.T) {
	t.Parallel()
	a, b, _ := newPair(t)
	owner, f := a.file("owner"), a.file
	a.do("-key", owner, "enroll", testUUID, "-group", "mail")
	a.freeze()
	move := func(from, to *site, n string) {
		t.Helper()
		from.do("move", "request", testUUID, "-o", f(n+"1"))
		to.do("move", "offer", f(n+"1"), "-o", f(n+"2"))
		from.do("move", "order", f(n+"2"), "-key", owner, "-o", f(n+"3"))
		from.do("move", "handover", f(n+"3"), "-o", f(n+"4"))
	}
	move(a, b, "there")
	b.do("move", "receipt", f("there4"), "-o", f("there5"))
	a.do("move", "release", f("there5"), "-o", f("there6"))
	b.do("move", "finish", f("there6"))
	b.freeze()
	move(b, a, "back")
	a.do("move", "refuse", f("back2"), "-o", f("lost"))
	os.Remove(f("lost"))
	var list []transferView
	if a.json(&list, "move", "list"); len(list) != 1 || !strings.Contains(strings.Join(list[0].Next, " "), "move again --offer gives the refusal") {
		t.Errorf("move list: %+v", list)
	}
	if out := a.do("move", "again", testUUID, "-o", f("release")); !strings.Contains(out, "has left") {
		t.Errorf("again: %s", out)
	}
	if out := a.do("move", "again", "--offer", testUUID, "-o", f("refusal")); !strings.Contains(out, "refused: ") {
		t.Errorf("again, of the offer: %s", out)
	}
	if out := b.do("move", "release", f("refusal"), "-o", f("x")); !strings.Contains(out, "live at this host") {
		t.Errorf("the refusal: %s", out)
	}
}
