package main

import (
	"errors"
	"io"
	"testing"
)

// TestMigrateUsage has wrong usage refused before anything is done.
func TestMigrateUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"migrate"}, {"migrate", "guest"}, {"migrate", "guest", "-oProxyCommand=x"}, {"migrate", "guest", "host", "more"}, {"migrate", "-x", "guest", "host"},
		{"migrate-receive", "guest"}, {"migrate-receive", "-x"}, {"migrate-relay"}, {"migrate-relay", "a", "b"}, {"migrate-xl"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
