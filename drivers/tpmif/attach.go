package tpmif

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// A Device names one TPM device between two domains.
type Device struct {
	Front, Back xen.DomID // of the frontend and the backend
	ID          int       // number of the device in the frontend's domain
	UUID        string    // of the vTPM
}

func (d Device) front() string {
	return fmt.Sprintf("/local/domain/%d/device/vtpm/%d", d.Front, d.ID)
}

func (d Device) back() string {
	return fmt.Sprintf("/local/domain/%d/%s/%d/%d", d.Back, directory, d.Front, d.ID)
}

// Attach creates the xenstore nodes of a device as Xen's toolstack does
// (libxl_vtpm.c), and returns the frontend's directory, for ConnectAt. It can be
// called in the control domain only. A device that exists already is left as it
// is if its UUID is the same; otherwise Attach returns an error.
func Attach(ctx context.Context, store *xenstore.Client, d Device) (string, error) {
	front, back, handle := d.front(), d.back(), strconv.Itoa(d.ID)
	perms := func(owner, reader xen.DomID) []string {
		return []string{fmt.Sprintf("n%d", owner), fmt.Sprintf("r%d", reader)}
	}
	err := store.Transaction(ctx, func(t *xenstore.Tx) error {
		if uuid, err := t.Read(ctx, back+"/uuid"); err == nil {
			if uuid != d.UUID {
				return fmt.Errorf("a device with another uuid exists: %s", uuid)
			}
			if _, err := t.Read(ctx, front+"/backend"); err == nil {
				return nil
			}
		} else if !errors.Is(err, xenstore.ErrNotExist) {
			return err
		}
		for _, n := range []struct {
			dir, name, value string
			owner, reader    xen.DomID
		}{
			{front, "", "", d.Front, d.Back},
			{front, "/backend", back, d.Front, d.Back},
			{front, "/backend-id", strconv.Itoa(int(d.Back)), d.Front, d.Back},
			{front, "/state", "1", d.Front, d.Back},
			{front, "/handle", handle, d.Front, d.Back},
			{back, "", "", d.Back, d.Front},
			{back, "/frontend", front, d.Back, d.Front},
			{back, "/frontend-id", strconv.Itoa(int(d.Front)), d.Back, d.Front},
			{back, "/online", "1", d.Back, d.Front},
			{back, "/state", "1", d.Back, d.Front},
			{back, "/handle", handle, d.Back, d.Front},
			{back, "/uuid", d.UUID, d.Back, d.Front},
			{back, "/resume", "False", d.Back, d.Front},
		} {
			if err := t.Write(ctx, n.dir+n.name, n.value); err != nil {
				return err
			}
			if err := t.SetPerms(ctx, n.dir+n.name, perms(n.owner, n.reader)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("tpmif: attach: %w", err)
	}
	return front, nil
}

// Detach removes a device created by Attach. Its frontend should be closed.
func Detach(ctx context.Context, store *xenstore.Client, d Device) error {
	var failed error
	for _, p := range []string{d.front(), d.back()} {
		if err := store.Remove(ctx, p); err != nil && !errors.Is(err, xenstore.ErrNotExist) {
			failed = fmt.Errorf("tpmif: detach: %w", err)
		}
	}
	return failed
}
