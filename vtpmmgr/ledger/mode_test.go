package ledger

import (
	"testing"
	"time"
)

func TestParseMode(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Mode{
		"strict": {}, "budget": Budget(DefaultEndurance, DefaultYears), "budget=200": {Daily: 200}, "5s": {Bounded: 5 * time.Second}, "1h": {Bounded: time.Hour},
	} {
		m, err := ParseMode(s)
		if err != nil || m != want {
			t.Errorf("%s: %v, %v", s, m, err)
		}
		if again, ok := ModeOf(m.Numbers()); !ok || again != m {
			t.Errorf("%s: its numbers are those of %v", s, again)
		}
	}
	for _, s := range []string{"", "0", "0s", "-5s", "2h", "budget=0", "budget=3", "budget=100001", "budget=x", "Strict", "5"} {
		if m, err := ParseMode(s); err == nil {
			t.Errorf("%q is taken as %v", s, m)
		}
	}
}
