package xenmove

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// What xl's two programs say to each other (tools/xl/xl.h and xl_migrate.c of Xen): all
// but the first with the zero byte at their end.
const (
	xlBanner = "xl migration receiver ready, send binary domain data.\n"
	xlReady  = "domain received, ready to unpause\x00"
	xlGo     = "domain is yours, you are cleared to unpause\x00"
	xlReport = "my copy unpause results are as follows\x00" // and one byte, 0 for success
)

// errXL means that xl said something else than expected.
var errXL = errors.New("xenmove: unexpected output of xl")

// expect reads a message of xl.
func expect(r io.Reader, message string) error {
	b := make([]byte, len(message))
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	if !bytes.Equal(b, []byte(message)) {
		return fmt.Errorf("%w: %q, want %q", errXL, b, message)
	}
	return nil
}

// An xlEvent is a message of xl migrate-receive.
type xlEvent struct {
	kind kind // kindBegin, kindReady, or kindDone
	code byte // for kindDone
}

// readReceiver reads what xl migrate-receive says until its end.
func readReceiver(r io.Reader, event func(xlEvent)) error {
	if err := expect(r, xlBanner); err != nil {
		return err
	}
	event(xlEvent{kind: kindBegin})
	if err := expect(r, xlReady); err != nil {
		return err
	}
	event(xlEvent{kind: kindReady})
	if err := expect(r, xlReport); err != nil {
		return err
	}
	var code [1]byte
	if _, err := io.ReadFull(r, code[:]); err != nil {
		return err
	}
	if code[0] != 0 {
		// It has destroyed its copy when it says so.
		if err := expect(r, xlGo); err != nil {
			return err
		}
	}
	event(xlEvent{kindDone, code[0]})
	return nil
}
