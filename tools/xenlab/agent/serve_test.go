package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
)

// connect runs the agent's server in this process and returns a client of it.
func connect(t *testing.T) (*lab.Client, context.Context) {
	t.Helper()
	// The agent starts commands in /root, which a test may not enter.
	if _, err := os.ReadDir("/root"); err != nil {
		t.Skipf("the agent runs as root: %v", err)
	}
	a, b := net.Pipe()
	go serve(a, a)
	t.Cleanup(func() { a.Close(); b.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c := lab.NewClient("test", b, nil)
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return c, ctx
}

func TestCommands(t *testing.T) {
	t.Parallel()
	c, ctx := connect(t)
	if out, err := c.Run(ctx, "echo out; echo err >&2"); err != nil || out != "out\nerr\n" {
		t.Errorf("echo: %q, %v", out, err)
	}
	var exit *lab.ExitError
	if _, err := c.Run(ctx, "echo why; exit 3"); !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(err.Error(), "why") {
		t.Errorf("exit 3: %v", err)
	}
	big := strings.Repeat("0123456789abcdef\n", 5000)
	if out, err := c.RunInput(ctx, "cat", []byte(big)); err != nil || out != big {
		t.Errorf("cat of %d bytes gave %d: %v", len(big), len(out), err)
	}
	if _, err := c.Start(false, nil, "/no/such/program"); err != nil {
		t.Error(err)
	}
	// Several at once, each with its own output.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := strings.Repeat(string(rune('a'+i)), 100)
			if out, err := c.Run(ctx, "printf "+want); err != nil || out != want {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
	wg.Wait()
}

func TestKillAndDeadline(t *testing.T) {
	t.Parallel()
	c, ctx := connect(t)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	mark := filepath.Join(t.TempDir(), "mark")
	if _, err := c.Run(short, "(sleep 2; touch "+mark+") & wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command over its time: %v", err)
	}
	if out, err := c.Run(ctx, "echo next"); err != nil || out != "next\n" {
		t.Errorf("after it: %q, %v", out, err)
	}
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(mark); err == nil {
		t.Error("the child of a killed command went on")
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	c, ctx := connect(t)
	var mu sync.Mutex
	var out strings.Builder
	p, err := c.Start(true, func(b []byte) { mu.Lock(); out.Write(b); mu.Unlock() }, "/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("test -t 0 && echo on a terminal\nexit 4\n"))
	code, _, err := p.Wait(ctx)
	if err != nil || code != 4 {
		t.Fatalf("code %d, %v", code, err)
	}
	time.Sleep(50 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(out.String(), "on a terminal\r\n") {
		t.Errorf("output %q", out.String())
	}
}
