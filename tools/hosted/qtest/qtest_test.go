package qtest

import (
	"io"
	"net"
	"strings"
	"testing"
)

// FuzzAnswers: whatever QEMU answers, an access ends, and what is no answer is
// an error.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"OK\n", "OK 0x0000000012345678\n", "IRQ raise 3\nOK 0x1\n", "FAIL Unknown command\n", "OK x\n", "\n", "OK 1 2\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answers string) {
		ours, qemu := net.Pipe()
		go func() {
			buf := make([]byte, 64)
			qemu.Read(buf)
			qemu.Write([]byte(answers))
			qemu.Close()
		}()
		r := New(ours)
		v := r.Read32(0)
		ours.Close()
		answered := false
		for line := range strings.Lines(answers) {
			if words := strings.Fields(line); len(words) == 0 || words[0] != "IRQ" {
				answered = len(words) > 0 && words[0] == "OK"
				break
			}
		}
		if r.Err() == nil && !answered {
			t.Errorf("%q was taken for an answer", answers)
		}
		if r.Err() != nil && v != 0xFFFFFFFF {
			t.Errorf("%q: %#x and %v", answers, v, r.Err())
		}
	})
}

// TestAnswers: the number of an answer is returned, interrupts are passed over.
func TestAnswers(t *testing.T) {
	for answers, want := range map[string]uint32{"OK\n": 0, "OK 0x0000000012345678\n": 0x12345678, "IRQ raise 3\nOK 0x1\n": 1} {
		var sent strings.Builder
		r := New(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(answers), &sent})
		if got := r.Read32(0x40); got != want || r.Err() != nil {
			t.Errorf("%q: %#x, %v", answers, got, r.Err())
		}
		if sent.String() != "readl 0xfed40040\n" {
			t.Errorf("sent %q", sent.String())
		}
	}
}
