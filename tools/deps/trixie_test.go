package main

import "testing"

// TestRenamed keeps apt's sources of the host's release and gives them the name of
// Debian 13's; a third party's may not have that.
func TestRenamed(t *testing.T) {
	t.Parallel()
	const targets = `http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm non-free-firmware
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/security/ bookworm-security main
http://other.example/apt/ cloud-bookworm main
http://other.example/apt/ bookwormish main
http://other.example/apt/ nodistro main
odd
`
	const want = `deb http://mirror.example/debian/ trixie main
deb http://mirror.example/debian/ trixie-updates main
deb http://mirror.example/security/ trixie-security main
`
	if got, err := renamed(targets, "bookworm"); err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
	for _, name := range []string{"", "sid"} {
		if got, err := renamed(targets, name); err == nil {
			t.Errorf("a host of release %q: %s", name, got)
		}
	}
}
