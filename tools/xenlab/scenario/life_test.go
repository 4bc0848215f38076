package scenario

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// kills is how many domains the campaign destroys unless STUBTPM_KILLS is set.
const kills = 3

// TestXenLife has guests (one, or STUBTPM_GUESTS) with a vTPM each under one
// manager, a guest that reboots, and domains that are destroyed under load.
func TestXenLife(t *testing.T) {
	images := needXen(t)
	images.Host = filepath.Join(repository, "build/stubtpm-host")
	bridge := filepath.Join(repository, "build/guestbridge")
	manifest := filepath.Join(repository, "build/images/manifest.json")
	images.Extra = map[string]string{imageManifest: manifest}
	for _, f := range []string{images.Host, bridge, manifest} {
		if _, err := os.Stat(f); err != nil {
			t.Fatalf("%v (make images builds it)", err)
		}
	}
	n := kills
	if s := os.Getenv("STUBTPM_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STUBTPM_KILLS: %v", err)
		}
	}
	guests := 1
	if s := os.Getenv("STUBTPM_GUESTS"); s != "" {
		var err error
		if guests, err = strconv.Atoi(s); err != nil {
			t.Fatalf("STUBTPM_GUESTS: %v", err)
		}
	}
	seed := uint64(1)
	if n > kills {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d kills, seed %d", n, seed)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
	defer cancel()
	r := &testReport{t}
	s := NewStack(machine(t, "life", lab.Options{Files: images.Files(), GuestFiles: map[string]string{bridgeCommand: bridge}, Memory: 2560}))
	l, err := NewLife(ctx, r, s, guests, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Reboot(ctx); err != nil {
		t.Fatalf("%v\n%s", err, l.Situation(ctx))
	}
	if err := l.Campaign(ctx, n); err != nil {
		t.Fatalf("%v\n%s", err, l.Situation(ctx))
	}
}

// TestLoadLog: lines that contradict an earlier one are detected.
func TestLoadLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines string
		wrong bool
	}{
		{"count 1\nwrote 1\nfound 1 1\ncount 2\nwrote 2\nlost broken\nfound 3 2\ncount 4\n", false},
		{"found 1 1\ncount 2\nfound 1 1\n", true},
		{"found 1 1\ncount 2\nwrote 2\nfound 2 1\n", true},
		{"found 1 1\ncount 3\n", true},
		{"count 5 after 5\n", true},
		{"found 2 3\n", true},
		{"panic: no\n", true},
	} {
		l := &loadLog{name: "g"}
		for i := range c.lines {
			l.add([]byte{c.lines[i]})
		}
		if got := l.err() != nil; got != c.wrong {
			t.Errorf("%q: %v", c.lines, l.err())
		}
	}
}
