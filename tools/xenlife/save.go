package xenlife

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// ErrNoToken means that a guest was saved, and its vTPM does not know of the image: what is
// volatile in its TPM will not be there after it is restored.
var ErrNoToken = errors.New("xenlife: the vTPM did not take the token of the image")

// Nodes of a vTPM's domain by which it learns the token of an image, and answers
// (docs/moves.md, "Save and restore").
const (
	nodeToken    = "control/stubtpm-token"
	nodeHasToken = "data/stubtpm-token"
)

// tokenTimeout is how long the vTPM may take to see that its guest has gone.
const tokenTimeout = 45 * time.Second

// SaveGuest saves the guest of a name to a file, as xl save does. Where the guest has its TPM
// by a ring the SHA-256 hash of the file is then given to the domain of its vTPM, as the token
// of the image. The error is ErrNoToken if only that fails. Once xl has begun, ctx stops
// nothing: the guest could neither go on nor be restored with its TPM.
func (h *Host) SaveGuest(ctx context.Context, name, file string) error {
	id, err := h.find(ctx, name)
	if err != nil {
		return err
	}
	if id == 0 {
		return fmt.Errorf("%s: %w: no such domain", name, ErrFailed)
	}
	device, err := h.ringOf(ctx, id)
	if err == nil && device != nil {
		err = checkImagePlace(file)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	// By its number: xl takes a name like 12 for a number, and one like -c for an option.
	if _, err := h.XL(ctx, "save", strconv.Itoa(int(id)), file); err != nil || device == nil {
		return err
	}
	image, err := readImage(file)
	if err == nil {
		err = h.giveToken(ctx, device.Backend, fmt.Sprintf("%d %s", id, image.token))
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrNoToken, err)
	}
	return nil
}

// giveToken writes for a vTPM's domain which domain was saved and what the image's token is,
// and waits until that has taken it.
func (h *Host) giveToken(ctx context.Context, vtpm xen.DomID, word string) error {
	home := fmt.Sprintf("/local/domain/%d/", vtpm)
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	err := h.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		// A domain that has ended must not come back to xenstore.
		if _, err := t.Read(ctx, home+"name"); err != nil {
			return err
		}
		// What was answered to an earlier token.
		if err := t.Remove(ctx, home+nodeHasToken); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			return err
		}
		return t.Write(ctx, home+nodeToken, word)
	})
	if err != nil {
		return err
	}
	return poll(ctx, 100*time.Millisecond, func() (bool, error) {
		v, err := h.Store.Read(ctx, home+nodeHasToken)
		if errors.Is(err, xenstore.ErrNotExist) {
			return false, nil
		}
		if reason, failed := strings.CutPrefix(v, "error: "); failed {
			return false, errors.New(reason)
		}
		return v == word, err
	})
}

// RestoreGuest restores the guest of a name from a file that SaveGuest wrote. Where the guest
// has its TPM by a ring the manager is told of the image before the guest runs; if it cannot
// be told, or the file was changed meanwhile, the domain is destroyed, and the file stays.
func (h *Host) RestoreGuest(ctx context.Context, name, file string) error {
	release, err := h.claim(name)
	if err != nil {
		return err
	}
	defer release()
	image, err := readImage(file)
	if err != nil {
		return err
	}
	id, err := h.makePaused(ctx, name, "restore", "-p", file)
	if err != nil {
		return err
	}
	device, err := h.ringOf(ctx, id)
	if err == nil && device != nil {
		if err = image.check(); err == nil { // so xl has read what was hashed
			err = h.ReportRestored(ctx, id, device.UUID, image.token)
		}
	}
	if err != nil {
		return h.undo(ctx, name, id, err)
	}
	return h.unpause(ctx, name, id)
}

// ringOf returns the first TPM device of a domain that another domain than dom0 serves; nil
// for none.
func (h *Host) ringOf(ctx context.Context, id xen.DomID) (*Frontend, error) {
	list, err := Frontends(ctx, h.Store)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(list, func(f Frontend) bool { return f.Domain == id && f.Backend != 0 })
	if n < 0 {
		return nil, nil
	}
	return &list[n], nil
}
