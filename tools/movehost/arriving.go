package movehost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/tools/xenmove"
)

// An Arriving is the vTPM of a guest that comes. It implements xenmove.Arriving.
type Arriving struct {
	Store   *xenstore.Client
	Dir     Dir
	Manager *Manager
	Name    string // of the manager's domain
	ID      string // UUID of the vTPM
	// Disk is the block device or file of dom0 that the vTPM's domain will have.
	Disk string
	// Start is a command of the shell that starts the domain, and may wait until it serves.
	Start string
}

// Times.
const (
	startTimeout  = 3 * time.Minute
	servesTimeout = 3 * time.Minute
)

// Names of records: the manager's offer, until it was refused, and its answer to a handover.
func (a *Arriving) offerFile() string  { return "offer-" + a.ID }
func (a *Arriving) answerFile() string { return "answer-" + a.ID }

// An answered is an answer of the manager.
type answered struct{ Handover, Answer []byte }

// absent returns an error if the vTPM has a domain here, which uses the disk.
func (a *Arriving) absent(ctx context.Context) error {
	id, err := vtpmDomain(ctx, a.Store, a.Name, a.ID)
	if err == nil && id != 0 {
		err = fmt.Errorf("%w: %s has domain %d here: end it, and what would start it again", ErrNoVTPM, a.ID, id)
	}
	return err
}

// Offer returns the manager's offer. The vTPM's domain is started later, since it could do
// nothing without its state.
func (a *Arriving) Offer(ctx context.Context, request []byte) ([]byte, error) {
	if err := mine(request, a.ID); err != nil {
		return nil, err
	}
	if err := a.absent(ctx); err != nil {
		return nil, err
	}
	if f, err := openDisk(a.Disk, 0); err != nil {
		return nil, err
	} else {
		f.Close()
	}
	for _, name := range []string{a.offerFile(), a.answerFile()} {
		if err := a.Dir.Remove(name); err != nil {
			return nil, err
		}
	}
	offer, err := a.Manager.step(ctx, request, "offer")
	if err != nil {
		return nil, err
	}
	return offer, a.Dir.Save(a.offerFile(), offer)
}

// Refuse has the manager refuse the offer.
func (a *Arriving) Refuse(ctx context.Context) error {
	offer, ok, err := a.Dir.Load(a.offerFile())
	if err != nil || !ok {
		return err
	}
	if _, err := a.Manager.step(ctx, offer, "refuse"); errors.Is(err, ErrRefused) {
		return nil // there is a receipt
	} else if err != nil {
		return err
	}
	return a.Dir.Remove(a.offerFile())
}

// Receive writes the vTPM's disk, and then has the manager take the vTPM. Only for a handover by
// the last offer of this host, to which there was no answer yet, is the disk written: the vTPM
// may have gone on.
func (a *Arriving) Receive(ctx context.Context, t xenmove.Transfer) (answer []byte, taken bool, err error) {
	var before answered
	b, ok, err := a.Dir.Load(a.answerFile())
	if err == nil && ok {
		err = json.Unmarshal(b, &before)
	}
	if err != nil {
		return nil, false, err
	}
	if ok && bytes.Equal(before.Handover, t.Message) {
		return before.Answer, kindOf(before.Answer) == messageReceipt, nil
	}
	if err := mine(t.Message, a.ID); err != nil {
		return nil, false, err
	}
	offer, open, err := a.Dir.Load(a.offerFile())
	if err == nil && !ok && open && answersOffer(t.Message, offer) {
		open, err = a.isOpen(ctx, offer)
	} else {
		open = false
	}
	if err != nil {
		return nil, false, err
	}
	if open {
		if err := a.absent(ctx); err != nil {
			return nil, false, err
		}
		if err := unpackDisk(a.Disk, t.State); err != nil {
			return nil, false, err
		}
	}
	if answer, err = a.Manager.step(ctx, t.Message, "receipt"); err != nil {
		return nil, false, err
	}
	if b, err = json.Marshal(answered{t.Message, answer}); err == nil {
		err = a.Dir.Save(a.answerFile(), b)
	}
	return answer, kindOf(answer) == messageReceipt, err
}

// isOpen reports whether the manager has an offer open: only then the vTPM is not here, and may
// have no state on its disk. It may have come in another way since, such as from a backup.
func (a *Arriving) isOpen(ctx context.Context, offer []byte) (bool, error) {
	now, err := a.Manager.step(ctx, requestOf(offer), "offer")
	if errors.Is(err, ErrRefused) {
		return false, nil
	}
	if err != nil || sameTerms(now, offer) {
		return err == nil, err
	}
	// It was closed, and there is another one now, which nobody asked for.
	_, err = a.Manager.step(ctx, now, "refuse")
	return false, err
}

// Release has the manager let the vTPM start, and starts its domain.
func (a *Arriving) Release(ctx context.Context, release []byte) error {
	if err := mine(release, a.ID); err != nil {
		return err
	}
	if _, err := a.Manager.step(ctx, release, "finish"); err != nil {
		return err
	}
	id, err := vtpmDomain(ctx, a.Store, a.Name, a.ID)
	if err != nil || id != 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", a.Start)
	cmd.WaitDelay = outputLimit
	if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", a.Start, err, bytes.TrimSpace(out))
	}
	return nil
}

// Restored waits until the doorbell has told the manager of the guest, and the vTPM serves it:
// it holds the guest until then.
func (a *Arriving) Restored(ctx context.Context, guest xen.DomID) error {
	ctx, cancel := context.WithTimeout(ctx, servesTimeout)
	defer cancel()
	dir := fmt.Sprintf("/local/domain/0/backend/vtpm/%d", guest)
	return poll(ctx, func() (bool, error) {
		devices, err := a.Store.Directory(ctx, dir)
		if err != nil {
			return false, err
		}
		held := false
		for _, d := range devices {
			_, err := a.Store.Read(ctx, dir+"/"+d+"/held")
			if err != nil && !errors.Is(err, xenstore.ErrNotExist) {
				return false, err
			}
			held = held || err == nil
		}
		return !held, nil
	})
}
