package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestNoiseAroundMessages(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("[    1.0] kernel line without an end")
	w := NewWriter(&b)
	if err := w.Send(Event{ID: 7, Op: "out", Data: []byte("two\nlines")}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("[    2.0] more\r\n" + Mark + "{broken\n")
	if err := w.Send(Event{ID: 7, Op: "exit", Code: 3}); err != nil {
		t.Fatal(err)
	}
	var events []Event
	var noise []string
	err := Read(&b, func(e Event) { events = append(events, e) }, func(s string) { noise = append(noise, s) })
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || string(events[0].Data) != "two\nlines" || events[1].Code != 3 || events[1].ID != 7 {
		t.Errorf("events: %+v", events)
	}
	want := []string{"[    1.0] kernel line without an end", "[    2.0] more", Mark + "{broken"}
	if strings.Join(noise, "|") != strings.Join(want, "|") {
		t.Errorf("noise: %q", noise)
	}
}

// TestLineFits keeps a full message inside a Linux terminal's buffer.
func TestLineFits(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	NewWriter(&b).Send(Request{ID: 1<<32 - 1, Op: "stdin", Data: make([]byte, MaxData)})
	if b.Len() > 4095 {
		t.Errorf("a message of %d bytes does not fit in 4095", b.Len())
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("noise\n" + Mark + `{"id":1,"op":"exec","argv":["a"]}` + "\nx"))
	f.Add([]byte(Mark + Mark + "{}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := Read(bytes.NewReader(in), func(Request) {}, func(string) {}); err != nil {
			t.Fatal(err)
		}
	})
}
