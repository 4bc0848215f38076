package drive

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Kind is a kind of event.
type Kind string

// Kinds of events.
const (
	Run    Kind = "run"    // a command, at a locality
	Look   Kind = "look"   // a command to a copy of the device, to read its state
	Init   Kind = "init"   // _TPM_Init
	Reload Kind = "reload" // the process ends; another loads the saved state
	Resume Kind = "resume" // Volatile, and then Resume
	Fail   Kind = "fail"   // the next N saves fail, or all if N is negative; with Late, after they took effect
	Wait   Kind = "wait"   // N milliseconds pass, and a command without effect is sent
)

// An Event is one step of an episode.
type Event struct {
	ID       int // seeds the randomness of the event
	Kind     Kind
	Locality uint8
	Command  []byte
	N        int
	Late     bool
}

// String returns the event as one line, which ReadEvents can parse.
func (e Event) String() string {
	s := fmt.Sprintf("%d %s", e.ID, e.Kind)
	switch e.Kind {
	case Run, Look:
		return fmt.Sprintf("%s %d %x", s, e.Locality, e.Command)
	case Fail:
		return fmt.Sprintf("%s %d %t", s, e.N, e.Late)
	case Wait:
		return fmt.Sprintf("%s %d", s, e.N)
	}
	return s
}

func (e Event) wait() time.Duration { return time.Duration(e.N) * time.Millisecond }

// ReadEvents parses events in the form of String, one on each line. It ignores what
// follows a #.
func ReadEvents(r io.Reader) ([]Event, error) {
	var l []Event
	s := bufio.NewScanner(r)
	for line := 1; s.Scan(); line++ {
		text, _, _ := strings.Cut(s.Text(), "#")
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		e, err := readEvent(f)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		l = append(l, e)
	}
	return l, s.Err()
}

func readEvent(f []string) (e Event, err error) {
	if len(f) < 2 {
		return e, fmt.Errorf("%d fields", len(f))
	}
	if e.ID, err = strconv.Atoi(f[0]); err != nil {
		return e, err
	}
	e.Kind = Kind(f[1])
	want := map[Kind]int{Run: 2, Look: 2, Fail: 2, Wait: 1, Init: 0, Reload: 0, Resume: 0}
	n, ok := want[e.Kind]
	if !ok || len(f) != 2+n {
		return e, fmt.Errorf("%q with %d fields", f[1], len(f))
	}
	if n > 0 {
		if e.N, err = strconv.Atoi(f[2]); err != nil {
			return e, err
		}
	}
	switch e.Kind {
	case Run, Look:
		e.Locality, e.N = uint8(e.N), 0
		e.Command, err = hex.DecodeString(f[3])
	case Fail:
		e.Late, err = strconv.ParseBool(f[3])
	}
	return e, err
}
