package movehost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"stubtpm/drivers/xen/xenstore"
	"stubtpm/tools/xenmove"
)

// A Leaving is the vTPM of a guest that leaves. It implements xenmove.Leaving.
type Leaving struct {
	Store   *xenstore.Client
	Dir     Dir
	Manager *Manager
	Name    string // of the manager's domain
	ID      string // UUID of the vTPM
	// Key is the file of the approver's key, Site that of the site's certificates, by which
	// the target's evidence is verified; "" for not.
	Key, Site string

	request []byte // of the move that begins
}

// Nodes of a vTPM's domain by which it is frozen (docs/moves.md, "Freezing").
const (
	nodeFreeze = "control/stubtpm-freeze"
	nodeFrozen = "data/stubtpm-frozen"
)

// freezeTimeout is how long a vTPM may take to end its command and commit its state.
const freezeTimeout = 90 * time.Second

// Names of records: the path of the disk, the approver's order, and what was sent.
func (l *Leaving) diskFile() string  { return "disk-" + l.ID }
func (l *Leaving) orderFile() string { return "order-" + l.ID }
func (l *Leaving) sentFile() string  { return "sent-" + l.ID }

// UUID returns that of the vTPM.
func (l *Leaving) UUID() string { return l.ID }

// Request returns the manager's request for an offer. That the vTPM can be moved at all is
// looked at before any memory is copied.
func (l *Leaving) Request(ctx context.Context) ([]byte, error) {
	for _, name := range []string{l.orderFile(), l.sentFile()} {
		if err := l.Dir.Remove(name); err != nil {
			return nil, err
		}
	}
	if _, err := l.pack(ctx); err != nil {
		return nil, err
	}
	request, err := l.Manager.step(ctx, nil, "request", l.ID)
	l.request = request
	return request, err
}

// pack returns what is on the disk of the vTPM's domain, and remembers which that is.
func (l *Leaving) pack(ctx context.Context) ([]byte, error) {
	id, err := vtpmDomain(ctx, l.Store, l.Name, l.ID)
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return nil, fmt.Errorf("%w: %s has no domain", ErrNoVTPM, l.ID)
	}
	disk, err := diskOf(ctx, l.Store, id)
	if err != nil {
		return nil, err
	}
	if err := l.Dir.Save(l.diskFile(), []byte(disk)); err != nil {
		return nil, err
	}
	return packDisk(disk)
}

// packLast is pack, also for a domain that has ended since: a manager that has sent the vTPM away
// has that of the last state on the disk, whatever became of the domain.
func (l *Leaving) packLast(ctx context.Context) ([]byte, error) {
	state, err := l.pack(ctx)
	if !errors.Is(err, ErrNoVTPM) {
		return state, err
	}
	disk, ok, loadErr := l.Dir.Load(l.diskFile())
	if loadErr != nil || !ok {
		return nil, errors.Join(err, loadErr)
	}
	return packDisk(string(disk))
}

// Approve signs the target's offer with the approver's key: an offer for the request only. What
// the other host says is not trusted, and a signature counts for whatever it is of.
func (l *Leaving) Approve(ctx context.Context, offer []byte) error {
	if !answersRequest(offer, l.request) {
		return fmt.Errorf("%w: the offer does not answer the request", errOther)
	}
	words := []string{"-key", l.Key}
	if l.Site != "" {
		words = append(words, "-site", l.Site)
	}
	order, err := l.Manager.step(ctx, offer, "order", words...)
	if err != nil {
		return err
	}
	return l.Dir.Save(l.orderFile(), order)
}

// freeze writes a word for the vTPM's domain, and waits for its answer. It returns false if
// there is no such domain.
func (l *Leaving) freeze(ctx context.Context, word string, done func(answer string) bool) (bool, error) {
	id, err := vtpmDomain(ctx, l.Store, l.Name, l.ID)
	if err != nil || id == 0 {
		return false, err
	}
	home := fmt.Sprintf("/local/domain/%d/", id)
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	err = l.Store.Transaction(ctx, func(t *xenstore.Tx) error {
		// A domain that has ended must not come back to xenstore.
		if _, err := t.Read(ctx, home+"name"); err != nil {
			return err
		}
		return t.Write(ctx, home+nodeFreeze, word)
	})
	if err != nil {
		return false, err
	}
	err = poll(ctx, func() (bool, error) {
		v, err := l.Store.Read(ctx, home+nodeFrozen)
		if errors.Is(err, xenstore.ErrNotExist) {
			err = nil
		}
		if why, failed := strings.CutPrefix(v, "error: "); failed {
			return false, fmt.Errorf("movehost: the vTPM's domain %d says %q", id, why)
		}
		return done(v), err
	})
	return true, err
}

// Freeze freezes the vTPM, and looks whether its state fits into a message.
func (l *Leaving) Freeze(ctx context.Context) error {
	there, err := l.freeze(ctx, "1", func(v string) bool { return len(strings.Fields(v)) == 3 })
	if err == nil && !there {
		err = fmt.Errorf("%w: %s has no domain", ErrNoVTPM, l.ID)
	}
	if err == nil {
		_, err = l.pack(ctx)
	}
	return err
}

// Thaw undoes Freeze. A vTPM whose domain has ended is not frozen.
func (l *Leaving) Thaw(ctx context.Context) error {
	_, err := l.freeze(ctx, "0", func(v string) bool { return v == "" })
	return err
}

// Transfer has the manager send the vTPM away.
func (l *Leaving) Transfer(ctx context.Context) (t xenmove.Transfer, err error) {
	b, ok, err := l.Dir.Load(l.sentFile())
	if err != nil {
		return t, err
	}
	if ok {
		err = json.Unmarshal(b, &t)
		return t, err
	}
	order, ok, err := l.Dir.Load(l.orderFile())
	if err != nil {
		return t, err
	}
	if !ok {
		return t, fmt.Errorf("movehost: the approver's order for %s is gone", l.ID)
	}
	// The state does not change any more once the vTPM was sent away, nor before: it is frozen.
	if t.State, err = l.packLast(ctx); err != nil {
		return t, err
	}
	t.Message, err = l.Manager.step(ctx, order, "handover")
	if errors.Is(err, ErrRefused) || errors.Is(err, errUndone) {
		return t, l.notSent(ctx, err)
	}
	if err == nil && kindOf(t.Message) != messageHandover {
		err = fmt.Errorf("movehost: the manager gave a message of kind %d", kindOf(t.Message))
	}
	if err != nil {
		return t, err
	}
	if b, err = json.Marshal(t); err != nil {
		return t, err
	}
	return t, l.Dir.Save(l.sentFile(), b)
}

// notSent returns xenmove.ErrNotSent with a cause if the manager says that the vTPM was not sent
// away.
func (l *Leaving) notSent(ctx context.Context, why error) error {
	again, err := l.Manager.step(ctx, nil, "again", l.ID)
	switch {
	case err != nil && !errors.Is(err, ErrRefused):
		return errors.Join(why, err)
	case err == nil && (kindOf(again) == messageHandover || kindOf(again) == messageRelease):
		return fmt.Errorf("movehost: the vTPM was sent away by another order: %w", why)
	}
	return fmt.Errorf("%w: %w", xenmove.ErrNotSent, why)
}

// Answer gives the manager the target's answer.
func (l *Leaving) Answer(ctx context.Context, answer []byte) (release []byte, moved bool, err error) {
	if err := mine(answer, l.ID); err != nil {
		return nil, false, err
	}
	release, err = l.Manager.step(ctx, answer, "release")
	if errors.Is(err, ErrRefused) && kindOf(answer) == messageRefusal && errors.Is(l.notSent(ctx, err), xenmove.ErrNotSent) {
		return nil, false, nil // it has taken the refusal before
	}
	if err != nil {
		return nil, false, err
	}
	return release, release != nil, nil
}
