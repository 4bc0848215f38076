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
	mu   sync.Mutex // held while a ring is under way: one at a time
	to   xen.Channel
	rate bucket
}

// set replaces the channel; nil for none.
func (l *line) set(c xen.Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		l.to.Close()
	}
	l.to = c
}

// ring tells the vTPM's domain to look, and waits for its answer for a while. Without
// such a domain the guest's command stays where it is, for the next one.
func (l *line) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.rate.take(time.Now()); d > 0 {
		time.Sleep(d)
	}
	if l.to == nil {
		return
	}
	select {
	case <-l.to.C(): // an answer that came late
	default:
	}
	if l.to.Notify() != nil {
		return
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-l.to.C():
	case <-t.C:
	}
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
