// Package wire is the line protocol between the lab on the host and its agent
// in dom0 or in a guest: commands to run, their output as it comes, their exit
// code. It runs over anything that carries lines, a serial port or a Xen
// console, and several commands may be under way at once.
//
// A message is one line: Mark, the JSON of a Request or an Event, a newline.
// Lines without the mark are other output of the same console (the kernel's)
// and are handed on as noise.
package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Mark starts each message; the record separator does not occur in kernel logs.
const Mark = "\x1eLAB "

// MaxData is the most bytes of input or output in one message. Base64 and JSON
// around it keep a line below the 4096 bytes of a Linux terminal's buffer.
const MaxData = 2048

// A Request goes from the host to the agent. One that starts something is sent again, with the
// same ID, until an event of that ID comes; the agent starts it once.
type Request struct {
	ID uint32 `json:"id"`
	// Op is "exec", "open" (a terminal device, bridged as if it were a
	// program), "stdin" (Data for a running command; empty closes it), "kill",
	// "hello", or "seen" (all events up to N).
	Op   string   `json:"op"`
	Argv []string `json:"argv,omitempty"`
	TTY  bool     `json:"tty,omitempty"` // run the command on a terminal
	Data []byte   `json:"data,omitempty"`
	N    uint64   `json:"n,omitempty"`
	Lost bool     `json:"lost,omitempty"` // with "seen": the event after N is lost
}

// An Event goes from the agent to the host.
type Event struct {
	ID uint32 `json:"id"`
	// Op is "hello" (sent at start and for each "hello" asked for), "begin"
	// (the request has come), "out", or "exit".
	Op   string `json:"op"`
	Data []byte `json:"data,omitempty"`
	Code int    `json:"code,omitempty"` // exit code, -1 if the command did not exit
	Text string `json:"text,omitempty"` // why the command did not run
	N    uint64 `json:"n,omitempty"`    // of the event; of the last one, with "hello"
}

// A Writer sends messages; it may be used by several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one message.
func (w *Writer) Send(message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return err
	}
	// The newline before the mark ends whatever the kernel had begun.
	line := append([]byte("\n"+Mark), b...)
	line = append(line, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.w.Write(line)
	return err
}

// Read calls message for each message of the stream, decoded into a new T, and
// noise (if not nil) for each other line that is not empty, until the stream
// ends. A line of more than 64 KiB is given to noise in pieces.
func Read[T any](r io.Reader, message func(T), noise func(string)) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			err = nil
		}
		if i := bytes.Index(line, []byte(Mark)); i >= 0 {
			var m T
			if jerr := json.Unmarshal(bytes.TrimSpace(line[i+len(Mark):]), &m); jerr == nil {
				message(m)
				line = line[:i]
			}
		}
		if s := string(bytes.TrimRight(line, "\r\n")); s != "" && noise != nil {
			noise(s)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wire: %w", err)
		}
	}
}
