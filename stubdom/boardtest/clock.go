//go:build tamago

package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	board "stubtpm/board/xen"
	"stubtpm/drivers/xen/xenbus"
)

// testClock makes sure that the clock never goes back, and has a date.
func testClock(xenbus.Domain) (string, error) {
	const n = 200_000
	start := time.Now()
	last := start
	for range n {
		now := time.Now()
		if now.Before(last) {
			return "", fmt.Errorf("the clock went back by %v", last.Sub(now))
		}
		last = now
	}
	if start.Year() < 2020 {
		return "", fmt.Errorf("the date is %v", start)
	}
	return fmt.Sprintf("%v per call", last.Sub(start)/n), nil
}

// testSleep measures how late timers are.
func testSleep(xenbus.Domain) (string, error) {
	note := ""
	for _, d := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
		var late []time.Duration
		for range 9 {
			start := time.Now()
			time.Sleep(d)
			late = append(late, time.Since(start)-d)
		}
		slices.Sort(late)
		if late[0] < 0 {
			return "", fmt.Errorf("woke %v early from %v", -late[0], d)
		}
		if late[4] > 20*time.Millisecond {
			return "", fmt.Errorf("woke late from %v, the median by %v", d, late[4])
		}
		note += fmt.Sprintf("%v: median %v late, worst %v; ", d, late[4].Round(time.Microsecond), late[8].Round(time.Microsecond))
	}
	return note, nil
}

// testSlices makes sure that other goroutines run beside one that never yields.
func testSlices(xenbus.Domain) (string, error) {
	stop := make(chan struct{})
	defer close(stop)
	spin := 0
	go func() {
		for {
			spin++
			if spin&0xfffff == 0 {
				select {
				case <-stop:
					return
				default:
				}
			}
		}
	}()
	start := time.Now()
	for range 10 {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(start); took > time.Second {
		return "", fmt.Errorf("10 sleeps of 1 ms took %v", took)
	}
	return "", nil
}

// testRandom makes sure that random numbers differ, also after Seed.
func testRandom(xenbus.Domain) (string, error) {
	seen := make(map[string]bool)
	for i := range 1000 {
		b := make([]byte, 32)
		rand.Read(b)
		if seen[string(b)] || bytes.Equal(b, make([]byte, 32)) {
			return "", errors.New("random bytes repeat")
		}
		seen[string(b)] = true
		if i == 500 {
			board.Seed([]byte("more"))
		}
	}
	big := make([]byte, 64<<10)
	start := time.Now()
	rand.Read(big)
	return fmt.Sprintf("64 KiB in %v", time.Since(start).Round(time.Microsecond)), nil
}
