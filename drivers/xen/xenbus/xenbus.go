// Package xenbus has what the two ends of a split driver have in common: the
// states they go through in xenstore, and the means they are built from.
//
// It implements Xen's public/io/xenbus.h. It has no build tag and runs
// anywhere.
package xenbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/xenstore"
)

// A Domain is what a driver end needs of the domain it runs in.
type Domain struct {
	Events xen.Events
	Grants xen.Grants
	Store  *xenstore.Client
}

// A State is where one end of a device stands (public/io/xenbus.h, enum
// xenbus_state).
type State uint8

// States, in the order of a device's life. Gone is no number of the protocol:
// it says that the node is not there.
const (
	Gone         State = 0
	Initialising State = 1
	InitWait     State = 2
	Initialised  State = 3
	Connected    State = 4
	Closing      State = 5
	Closed       State = 6
)

func (s State) String() string {
	names := [...]string{"Gone", "Initialising", "InitWait", "Initialised", "Connected", "Closing", "Closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

// ErrState says that the peer's state is none that the protocol has.
var ErrState = errors.New("xenbus: unknown state")

// ReadState returns the state in a node; Gone if the node is not there.
func ReadState(ctx context.Context, store *xenstore.Client, path string) (State, error) {
	s, err := store.Read(ctx, path)
	// The store says EACCES where a removed node lay below one that this
	// domain may not list.
	if errors.Is(err, xenstore.ErrNotExist) || errors.Is(err, xenstore.ErrAccess) {
		return Gone, nil
	}
	if err != nil {
		return Gone, err
	}
	v, err := strconv.ParseUint(s, 10, 8)
	if err != nil || v == 0 || State(v) > Closed {
		return Gone, fmt.Errorf("%w: %q", ErrState, s)
	}
	return State(v), nil
}

// WriteState sets the state in a node.
func WriteState(ctx context.Context, store *xenstore.Client, path string, s State) error {
	return store.Write(ctx, path, strconv.Itoa(int(s)))
}

// steps lists, for each state of one end, the states it may go to next. An end
// that goes back to InitWait is ready for its peer to start over.
var steps = [...][]State{
	Gone:         {Initialising},
	Initialising: {InitWait, Initialised, Connected, Closing, Closed, Gone},
	InitWait:     {Initialising, Initialised, Connected, Closing, Closed, Gone},
	Initialised:  {Initialising, InitWait, Connected, Closing, Closed, Gone},
	Connected:    {Initialising, InitWait, Closing, Closed, Gone},
	Closing:      {Initialising, InitWait, Closed, Gone},
	Closed:       {Initialising, InitWait, Gone},
}

// MayBecome tells whether an end may go from s to next; staying is no step.
func (s State) MayBecome(next State) bool {
	return int(s) < len(steps) && slices.Contains(steps[s], next)
}

// ErrPeerClosed says that the peer closed where it was expected to go on.
var ErrPeerClosed = errors.New("xenbus: peer closed")

// WaitState waits until the state in a node is one of those wanted. A peer
// that closes first is an error.
func WaitState(ctx context.Context, store *xenstore.Client, path string, want ...State) (State, error) {
	return wait(ctx, store, path, true, want)
}

// WaitReopen is WaitState for a peer that may have to close first.
func WaitReopen(ctx context.Context, store *xenstore.Client, path string, want ...State) (State, error) {
	return wait(ctx, store, path, false, want)
}

func wait(ctx context.Context, store *xenstore.Client, path string, closing bool, want []State) (State, error) {
	w, err := store.Watch(ctx, path)
	if err != nil {
		return Gone, err
	}
	defer w.Stop(context.WithoutCancel(ctx))
	for {
		s, err := ReadState(ctx, store, path)
		if err != nil {
			return Gone, err
		}
		if slices.Contains(want, s) {
			return s, nil
		}
		if closing && (s == Closing || s == Closed) {
			return s, ErrPeerClosed
		}
		select {
		case _, ok := <-w.C():
			if !ok {
				return Gone, xenstore.ErrClosed
			}
		case <-ctx.Done():
			return s, fmt.Errorf("xenbus: peer stays %v: %w", s, ctx.Err())
		}
	}
}
