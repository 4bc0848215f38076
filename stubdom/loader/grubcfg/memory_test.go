package grubcfg

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// heap is what the loader's runtime may use (main package, heapLimit), less room for the
// rest of it.
const heap = 32 << 20

// TestMemory: the largest file must be read in the loader's memory, whatever it says.
// Parse allocates less in all than may be in use at once.
func TestMemory(t *testing.T) {
	value := "set a=" + strings.Repeat("x", maxVariable) + "\n"
	var variables strings.Builder
	for n := 0; variables.Len() < MaxSize-2048; n++ {
		fmt.Fprintf(&variables, "b%x=$a\n", n)
	}
	fill := func(s string) string { return strings.Repeat(s, MaxSize/len(s)) }
	for name, text := range map[string]string{
		"short words":     fill("a "),
		"short lines":     fill("a\n"),
		"braces":          fill("}"),
		"quotes":          "a" + fill(`""`),
		"long arguments":  value + "menuentry m {\nlinux " + fill("$a ")[:MaxSize-1100] + "\n}\n",
		"variables":       value + variables.String(),
		"many references": value + "menuentry m {\nlinux " + fill("$a$a$a$a ")[:MaxSize-1100] + "\n}\n",
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c := Parse(text)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > heap {
			t.Errorf("%s: %d MiB", name, n>>20)
		}
		for _, e := range c.Entries {
			if len(e.Options) > maxWord {
				t.Errorf("%s: a command line of %d bytes", name, len(e.Options))
			}
		}
	}
}
