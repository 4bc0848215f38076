package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"stubtpm/tools/xenlab/lab"
	"stubtpm/tools/xenlab/wire"
)

// TestLateAgent has a console as a guest that boots has: at first the terminal
// echoes what the lab asks, and nobody reads it; the agent's first word is torn by
// the kernel, which goes on to write lines between the agent's.
func TestLateAgent(t *testing.T) {
	t.Parallel()
	if _, err := os.ReadDir("/root"); err != nil {
		t.Skipf("the agent runs as root: %v", err)
	}
	ours, guest := net.Pipe()
	t.Cleanup(func() { ours.Close(); guest.Close() })
	in, toAgent := io.Pipe()
	fromAgent, out := io.Pipe()
	go func() {
		asked := bufio.NewReader(guest)
		for n := 0; n < 2; {
			line, err := asked.ReadString('\n')
			if err != nil {
				return
			}
			if strings.Contains(line, wire.Mark) {
				n++
			}
			io.WriteString(guest, strings.ReplaceAll(line, "\x1e", "^^")+"\r")
		}
		io.WriteString(guest, "[   12.3] random: crng ini\n"+wire.Mark+`{"id":0,"op":"he[   12.4] tpm tpm0: A TPM error`+"\n")
		go serve(in, out)
		first := true
		go func() {
			said := bufio.NewReader(fromAgent)
			for {
				line, err := said.ReadString('\n')
				if err != nil {
					return
				}
				if strings.Contains(line, wire.Mark) && first {
					first = false // lost: it was torn
					continue
				}
				io.WriteString(guest, "[   22.4] tpm tpm0: A TPM error (30)\r\n"+line)
			}
		}()
		io.Copy(toAgent, asked)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := lab.NewClient("test", ours, nil)
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Run(ctx, "echo there"); err != nil || got != "there\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestTornConsole has a console that loses messages in both directions: the first requests, and
// then one of seven.
func TestTornConsole(t *testing.T) {
	t.Parallel()
	if _, err := os.ReadDir("/root"); err != nil {
		t.Skipf("the agent runs as root: %v", err)
	}
	ours, guest := net.Pipe()
	t.Cleanup(func() { ours.Close(); guest.Close() })
	in, toAgent := io.Pipe()
	fromAgent, out := io.Pipe()
	go serve(in, out)
	tear := func(to io.Writer, from io.Reader, first int) {
		r := bufio.NewReader(from)
		for n := 0; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.Contains(line, wire.Mark) {
				if n++; n <= first || n%7 == 0 {
					line = "[   12.3] rcu: a stall\n"
				}
			}
			io.WriteString(to, line)
		}
	}
	go tear(toAgent, guest, 4)
	go tear(guest, fromAgent, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := lab.NewClient("test", ours, nil)
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := strings.Repeat(string(rune('a'+i)), 100)
			if got, err := c.Run(ctx, "printf "+want); err != nil || got != want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
}
