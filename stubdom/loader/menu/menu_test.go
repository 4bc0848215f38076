package menu

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// keys is a console at which keys are pressed one after another, then none.
type keys struct {
	bytes.Buffer
	left  string
	waits []time.Duration
}

func (k *keys) Key(wait time.Duration) (byte, bool) {
	k.waits = append(k.waits, wait)
	if k.left == "" {
		return 0, false
	}
	b := k.left[0]
	k.left = k.left[1:]
	return b, true
}

func TestChoose(t *testing.T) {
	t.Parallel()
	few, many := []string{"one", "two", "three"}, make([]string, 12)
	for _, c := range []struct {
		titles  []string
		keys    string
		timeout time.Duration
		want    int
	}{
		{few, "", 5 * time.Second, 1}, {few, "\r", 5 * time.Second, 1}, {few, "3", 5 * time.Second, 2}, {few, "x9\r1", -1, 0},
		{few, "3", 0, 1}, {many, "12\r", -1, 11}, {many, "1\x7f3\r", -1, 2}, {many, "99\r0\r2\n", -1, 1}, {few[:1], "2", -1, 0}, {nil, "1", -1, -1},
	} {
		k := &keys{left: c.keys}
		def := min(1, len(c.titles)-1)
		if got := Choose(k, c.titles, def, c.timeout); got != c.want {
			t.Errorf("%q of %d: %d, want %d\n%s", c.keys, len(c.titles), got, c.want, k)
		}
		for i, w := range k.waits {
			if i > 0 && w >= 0 {
				t.Errorf("%q: key %d is waited for %v only", c.keys, i, w)
			}
		}
	}
	k := &keys{}
	Choose(k, []string{"a\x1b[2J\u009b", strings.Repeat("x", 1000)}, 0, time.Second)
	if s := k.String(); strings.ContainsAny(s, "\x1b\u009b") || len(s) > 300 {
		t.Errorf("%q", s)
	}
}
