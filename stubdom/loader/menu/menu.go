// Package menu lets a person at a console choose what to boot.
package menu

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// A Console shows text and reads keys.
type Console interface {
	io.Writer
	// Key returns the next key that was pressed. It waits for one at most as long as
	// given, and reports false if there was none. A negative time is no limit.
	Key(wait time.Duration) (key byte, ok bool)
}

const (
	enter     = '\r'
	newline   = '\n'
	backspace = 0x7f
	maxShown  = 99
)

// Choose shows titles, numbered from 1 on, and returns the index of the one that is
// chosen: by its number and Enter, by Enter alone for the default one, or the default one
// if no key is pressed within timeout. A negative timeout is no limit, 0 shows nothing.
// After a first key there is no limit. With up to nine titles a number needs no Enter.
func Choose(c Console, titles []string, def int, timeout time.Duration) int {
	if timeout == 0 || len(titles) < 2 {
		return def
	}
	for i, t := range titles[:min(len(titles), maxShown)] {
		mark := " "
		if i == def {
			mark = "*"
		}
		fmt.Fprintf(c, "%s%2d  %s\r\n", mark, i+1, printable(t))
	}
	if timeout > 0 {
		fmt.Fprintf(c, "number, or Enter for %d, which starts in %d s: ", def+1, int(timeout.Seconds()))
	} else {
		fmt.Fprintf(c, "number, or Enter for %d: ", def+1)
	}
	typed := ""
	for {
		key, ok := c.Key(timeout)
		if !ok {
			fmt.Fprint(c, "\r\n")
			return def
		}
		timeout = -1
		switch {
		case key == enter || key == newline:
			fmt.Fprint(c, "\r\n")
			if typed == "" {
				return def
			}
			if n, err := strconv.Atoi(typed); err == nil && n >= 1 && n <= len(titles) {
				return n - 1
			}
			fmt.Fprintf(c, "1 to %d: ", len(titles))
			typed = ""
		case key == backspace || key == '\b':
			if typed != "" {
				typed = typed[:len(typed)-1]
				fmt.Fprint(c, "\b \b")
			}
		case key >= '0' && key <= '9' && len(typed) < 3:
			typed += string(key)
			fmt.Fprintf(c, "%c", key)
			if n := int(key - '0'); len(titles) <= 9 && typed == string(key) && n >= 1 && n <= len(titles) {
				fmt.Fprint(c, "\r\n")
				return n - 1
			}
		}
	}
}

// printable replaces what a terminal could take for a command: titles come from the
// guest's disk.
func printable(s string) string {
	const most = 100
	b := []rune(s)
	if len(b) > most {
		b = b[:most]
	}
	for i, r := range b {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			b[i] = '?'
		}
	}
	return string(b)
}
