package xenstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Tx is a transaction. Its writes become visible all at once, or not at all.
type Tx struct {
	c  *Client
	id uint32
}

// Read is like Client.Read, within the transaction.
func (t *Tx) Read(ctx context.Context, path string) (string, error) {
	return t.c.readTx(ctx, t.id, path)
}

// Write is like Client.Write, within the transaction.
func (t *Tx) Write(ctx context.Context, path, value string) error {
	return t.c.writeTx(ctx, t.id, path, value)
}

// Mkdir is like Client.Mkdir, within the transaction.
func (t *Tx) Mkdir(ctx context.Context, path string) error {
	return t.c.mkdirTx(ctx, t.id, path)
}

// Remove is like Client.Remove, within the transaction.
func (t *Tx) Remove(ctx context.Context, path string) error {
	return t.c.removeTx(ctx, t.id, path)
}

// SetPerms is like Client.SetPerms, within the transaction.
func (t *Tx) SetPerms(ctx context.Context, path string, perms ...string) error {
	return t.c.setPermsTx(ctx, t.id, path, perms)
}

// Transaction waits conflictPause longer after each conflict, up to maxPause. While
// many domains of a host start, conflicts are frequent.
const (
	conflictPause = time.Millisecond
	maxPause      = 50 * time.Millisecond
)

// Transaction runs f in a transaction and commits it. If it conflicts with another
// writer, Transaction runs f again, until ctx ends. If f returns an error, the
// transaction is aborted and Transaction returns that error.
func (c *Client) Transaction(ctx context.Context, f func(t *Tx) error) error {
	for pause := conflictPause; ; pause = min(pause+conflictPause, maxPause) {
		b, err := c.do(ctx, opTransactionStart, 0, "\x00")
		if err != nil {
			return wrap("transaction", "start", err)
		}
		id, err := strconv.ParseUint(strings.TrimRight(string(b), "\x00"), 10, 32)
		if err != nil {
			return fmt.Errorf("%w: transaction id", errProtocol)
		}
		if err := f(&Tx{c, uint32(id)}); err != nil {
			c.do(context.WithoutCancel(ctx), opTransactionEnd, uint32(id), "F\x00")
			if !errors.Is(err, ErrAgain) {
				return err
			}
		} else if _, err = c.do(ctx, opTransactionEnd, uint32(id), "T\x00"); !errors.Is(err, ErrAgain) {
			return wrap("transaction", "end", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return wrap("transaction", "end", ErrAgain)
		}
	}
}
