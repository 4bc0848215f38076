package crb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"stubtpm/drivers/xen"
)

// A Client is the guest's end of a control area, for those who use the TPM before the
// guest's own driver does. It is safe for concurrent use.
type Client struct {
	Control *xen.Page
	Buffer  []*xen.Page
	// Ring tells the TPM to look at the control area.
	Ring func() error
	// Wait waits until the TPM may have finished, or ctx ends. It is called repeatedly.
	Wait func(ctx context.Context) error

	mu sync.Mutex
}

// Errors of a Client.
var (
	ErrBusy     = errors.New("crb: a command is in progress")
	ErrResponse = errors.New("crb: malformed response")
	ErrSize     = errors.New("crb: command or data too long, or no command")
)

// Transact sends a command of 10 to BufferSize bytes at a locality, which counts only
// before the guest runs, and returns the response. If ctx ends first, the command is
// still in progress, and its response is lost.
func (c *Client) Transact(ctx context.Context, locality uint8, command []byte) ([]byte, error) {
	if len(command) < minPacket || len(command) > BufferSize {
		return nil, ErrSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.start(ctx, signalCommand, locality, command); err != nil {
		return nil, err
	}
	var header [minPacket]byte
	b := buffer(c.Buffer)
	b.copyOut(header[:])
	n := binary.BigEndian.Uint32(header[packetLength:])
	if n < minPacket || n > BufferSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrResponse, n)
	}
	response := make([]byte, n)
	b.copyOut(response)
	return response, nil
}

// Signal sends a signal of the platform, with data of at most BufferSize bytes for
// SignalHashData.
func (c *Client) Signal(ctx context.Context, s Signal, data []byte) error {
	if len(data) > BufferSize {
		return ErrSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start(ctx, s, 0, data)
}

// start has the TPM act on the buffer and waits until it has.
func (c *Client) start(ctx context.Context, s Signal, locality uint8, data []byte) error {
	if c.Control.Load32(offStart)&1 != 0 {
		return ErrBusy
	}
	buffer(c.Buffer).copyIn(data)
	c.Control.Store32(offLength, uint32(len(data)))
	c.Control.Store32(offSignal, uint32(s))
	c.Control.Store32(offLocality, uint32(locality))
	c.Control.Store32(offCancel, 0)
	c.Control.Store32(offStart, 1)
	if err := c.Ring(); err != nil {
		return err
	}
	for c.Control.Load32(offStart)&1 != 0 {
		if err := c.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
