package xenmove

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A kind of frame. A frame on the link is its kind, one byte, the length of its body, 32
// bits big-endian, and the body.
type kind byte

const (
	kindHello    kind = 'H' // source: JSON of a hello
	kindAgain    kind = 'A' // source, first on a later link: JSON of a hello
	kindData     kind = 'D' // source: output of its xl
	kindAbandon  kind = 'X' // source: the guest stays
	kindTransfer kind = 'V' // source: JSON of a transfer
	kindRelease  kind = 'L' // source: the managers' release
	kindGo       kind = 'G' // source: the guest is the target's

	kindOffer   kind = 'O' // target: the offer of its manager
	kindBegin   kind = 'B' // target: xl waits for the guest
	kindReady   kind = 'R' // target: the copy is complete
	kindAnswer  kind = 'W' // target: its manager's answer
	kindServes  kind = 'S' // target: the vTPM can serve the guest
	kindDone    kind = 'U' // target: one byte, a code of xl, 0 if the guest runs
	kindUnknown kind = 'N' // target: it cannot know whether the guest has run there
	kindFailed  kind = 'F' // target: a text
	kindHere    kind = 'K' // target: the answer to kindAgain
)

// maxFrame is the largest body of a frame in bytes. A transfer has a state of at most 1 MiB and
// its header, in base64, and a manager's message.
const maxFrame = 2 << 20

// errFrame means that the other side does not keep to the protocol.
var errFrame = errors.New("xenmove: malformed frame")

type frame struct {
	kind kind
	body []byte
}

func writeFrame(w io.Writer, k kind, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("%w: %d bytes", errFrame, len(body))
	}
	b := make([]byte, 5, 5+len(body))
	b[0] = byte(k)
	binary.BigEndian.PutUint32(b[1:], uint32(len(body)))
	_, err := w.Write(append(b, body...))
	return err
}

func readFrame(r io.Reader) (frame, error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	f := frame{kind(h[0]), make([]byte, n)}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// A line is one end of a link.
type line struct {
	c    io.ReadWriteCloser
	in   chan frame // closed at the end
	done chan struct{}
	once sync.Once
	turn chan struct{} // full while a frame is written
}

func join(c io.ReadWriteCloser) *line {
	l := &line{c: c, in: make(chan frame), done: make(chan struct{}), turn: make(chan struct{}, 1)}
	go func() {
		defer close(l.in)
		for {
			f, err := readFrame(c)
			if err != nil {
				return
			}
			select {
			case l.in <- f:
			case <-l.done:
				return
			}
		}
	}()
	return l
}

func (l *line) send(k kind, body []byte) error {
	select {
	case l.turn <- struct{}{}:
	case <-l.done:
		return io.ErrClosedPipe
	}
	defer func() { <-l.turn }()
	return writeFrame(l.c, k, body)
}

// sendWithin is send, and closes the link if that takes longer than ctx: the other side may have
// stopped reading.
func (l *line) sendWithin(ctx context.Context, k kind, body []byte) error {
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	return l.send(k, body)
}

func (l *line) close() {
	l.once.Do(func() {
		close(l.done)
		l.c.Close()
	})
}
