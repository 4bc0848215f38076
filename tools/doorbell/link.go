package doorbell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
)

// A line is the connection of one guest's control area to the domain of its vTPM. It is
// safe for concurrent use.
type line struct {
	// changed is called after the vTPM has written to the guest's memory, and before the guest
	// is told; nil for nobody.
	changed func()

	mu    sync.Mutex
	to    xen.Channel
	rate  bucket
	rings []func() // end the rings: of the one under way, and of those that wait for it
	sent  bool     // the first of them was passed on
	until time.Time
	timer *time.Timer // nil unless one runs, which ends the ring at the time until
}

// set replaces the channel; nil for none. It ends a ring that was passed on.
func (l *line) set(c xen.Channel) {
	if c != nil {
		xen.Handle(c, l.answered)
	}
	l.mu.Lock()
	old := l.to
	l.to = c
	if l.sent {
		l.end()
	}
	l.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// ring tells the vTPM's domain to look, and calls done once it has answered, or after a
// while. Without such a domain the guest's command stays where it is, for the next one. Of
// several rings one is under way at a time.
func (l *line) ring(done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rings = append(l.rings, done); len(l.rings) == 1 {
		l.begin()
	}
}

// begin passes on the first ring, now or later. Precondition: mu is held.
func (l *line) begin() {
	if d := l.rate.take(time.Now()); d > 0 {
		time.AfterFunc(d, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.send()
		})
		return
	}
	l.send()
}

// send passes on the first ring. Precondition: mu is held.
func (l *line) send() {
	if l.to == nil || l.to.Notify() != nil {
		l.end()
		return
	}
	l.sent, l.until = true, time.Now().Add(grace)
	// A timer of an earlier ring is left to run, since to stop and start one for each ring
	// costs more than the rings.
	if l.timer == nil {
		l.timer = time.AfterFunc(grace, l.late)
	}
}

// end ends the first ring. Precondition: mu is held.
func (l *line) end() {
	done := l.rings[0]
	l.rings, l.sent = l.rings[1:], false
	done()
	if len(l.rings) > 0 {
		l.begin()
	}
}

// answered ends the ring under way. It may be the late answer to an earlier one: the guest
// then looks for its response itself.
func (l *line) answered() {
	if l.changed != nil {
		l.changed()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent {
		l.end()
	}
}

// late ends a ring that was not answered in time.
func (l *line) late() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if !l.sent {
		return
	}
	d := time.Until(l.until)
	if d <= 0 {
		l.end()
		return
	}
	l.timer = time.AfterFunc(d, l.late)
}

// ErrRefused is returned if the vTPM's domain refuses the guest.
var ErrRefused = errors.New("doorbell: the vTPM refuses the guest")

// connect has the domain of a vTPM serve the guest's control area, and returns the event
// channel. With firmware, the guest does not run yet.
func connect(ctx context.Context, d xenbus.Domain, guest, vtpm xen.DomID, uuid string, firmware bool) (xen.Channel, error) {
	c, err := d.Events.AllocUnbound(vtpm)
	if err != nil {
		return nil, err
	}
	base := linkDirectory(vtpm, guest)
	err = writeLink(ctx, d.Store, vtpm, base, map[string]string{
		crb.NodeUUID:         uuid,
		crb.NodeEventChannel: strconv.Itoa(int(c.Port())),
		crb.NodeControlRef:   strconv.Itoa(crb.ControlRef),
		crb.NodeBufferRef:    strconv.Itoa(crb.BufferRef),
		crb.NodeFirmware:     map[bool]string{true: "1", false: "0"}[firmware],
		crb.NodeState:        strconv.Itoa(int(xenbus.Initialising)),
		crb.NodeError:        "",
	})
	if err == nil {
		_, err = xenbus.WaitState(ctx, d.Store, base+"/"+crb.NodeState, xenbus.Connected)
		if errors.Is(err, xenbus.ErrPeerClosed) {
			why, _ := d.Store.Read(ctx, base+"/"+crb.NodeError)
			err = fmt.Errorf("%w: %q", ErrRefused, why)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// linkDirectory is where the domain of a vTPM finds the guest.
func linkDirectory(vtpm, guest xen.DomID) string {
	return fmt.Sprintf("/local/domain/%d/%s/%d", vtpm, crb.Directory, guest)
}

// writeLink writes the nodes of a guest's directory, which the vTPM's domain owns.
func writeLink(ctx context.Context, store *xenstore.Client, vtpm xen.DomID, base string, nodes map[string]string) error {
	return store.Transaction(ctx, func(t *xenstore.Tx) error {
		// A domain that has ended must not come back to xenstore.
		if _, err := t.Read(ctx, fmt.Sprintf("/local/domain/%d/name", vtpm)); err != nil {
			return err
		}
		owner := fmt.Sprintf("n%d", vtpm)
		parent := fmt.Sprintf("/local/domain/%d/%s", vtpm, crb.Directory)
		for _, dir := range []string{parent, base} {
			if err := t.Mkdir(ctx, dir); err != nil {
				return err
			}
			if err := t.SetPerms(ctx, dir, owner); err != nil {
				return err
			}
		}
		for name, value := range nodes {
			if err := t.Write(ctx, base+"/"+name, value); err != nil {
				return err
			}
			if err := t.SetPerms(ctx, base+"/"+name, owner); err != nil {
				return err
			}
		}
		return nil
	})
}
