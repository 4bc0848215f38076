package xenlife

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/xen"
)

// ErrLeft means that a guest has moved to another host: it is not created here, since there
// would be two.
var ErrLeft = errors.New("xenlife: the guest has moved to another host")

// leftRest is the pause between two looks whether a guest that has left is here again.
const leftRest = time.Second

// leftFile has the ID of the domain that has moved to another host, or may have.
func (h *Host) leftFile(name string) string {
	return strings.TrimSuffix(h.stateFile(name), ".domains") + ".left"
}

// Leave notes that a guest's domain is about to move to another host: no domain is created in its
// place, until Stay, or the guest has come back.
func (h *Host) Leave(name string, id xen.DomID) error {
	if err := os.MkdirAll(h.State, 0o755); err != nil {
		return err
	}
	return os.WriteFile(h.leftFile(name), fmt.Append(nil, id), 0o600)
}

// Stay notes that the guest has not moved.
func (h *Host) Stay(name string) error {
	err := os.Remove(h.leftFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// left reports whether a guest has left this host, or is about to. now is its domain, 0 for none:
// one that is not the domain that left has come back.
func (h *Host) left(name string, now xen.DomID) (bool, error) {
	b, err := os.ReadFile(h.leftFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := strconv.ParseUint(string(b), 10, 16)
	if err == nil && now != 0 && now != xen.DomID(id) {
		return false, h.Stay(name)
	}
	return true, nil
}

// awaitReturn waits until a guest that has left is here, or has not left, and returns its domain,
// 0 for none.
func (h *Host) awaitReturn(ctx context.Context, name string) (id xen.DomID, err error) {
	said := false
	err = poll(ctx, leftRest, func() (bool, error) {
		if id, err = h.find(ctx, name); err != nil {
			return false, err
		}
		left, err := h.left(name, id)
		if id == 0 && left && !said {
			said = true
			h.Log("%s: %v: it is not created here while %s exists", name, ErrLeft, h.leftFile(name))
		}
		return id != 0 || !left, err
	})
	return id, err
}
