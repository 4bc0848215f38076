package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// gap looks at the clock after each pause, until a file exists, and prints the longest time
// between two looks, how many there were, and the time of the last one since 1970:
//
//	gap N us of N looks, the last at N ns
//
// The clock is CLOCK_REALTIME, which goes on while the machine stands still, or is set then.
func gap(pause, until string, out io.Writer) error {
	d, err := time.ParseDuration(pause)
	if err != nil {
		return err
	}
	var longest time.Duration
	last := time.Now().Round(0) // without the monotonic clock, which stops with the machine
	for n := 1; ; n++ {
		time.Sleep(d)
		now := time.Now().Round(0)
		longest = max(longest, now.Sub(last))
		last = now
		if _, err := os.Stat(until); err == nil {
			_, err := fmt.Fprintf(out, "gap %d us of %d looks, the last at %d ns\n", longest.Microseconds(), n, now.UnixNano())
			return err
		}
	}
}
