package xenbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"stubtpm/drivers/xen/xenstore"
)

// A State is the state of one end of a device (public/io/xenbus.h, enum
// xenbus_state).
type State uint8

// States, in the order of a device's life. Gone is not part of the protocol:
// it stands for a node that does not exist.
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

// ErrState is returned for a state that the protocol does not define.
var ErrState = errors.New("xenbus: unknown state")

// ReadState returns the state in a node, or Gone if the node does not exist.
func ReadState(ctx context.Context, store *xenstore.Client, path string) (State, error) {
	s, err := store.Read(ctx, path)
	// xenstored answers EACCES for a removed node whose parent this domain may
	// not read.
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

// WriteState writes the state in a node.
func WriteState(ctx context.Context, store *xenstore.Client, path string, s State) error {
	return store.Write(ctx, path, strconv.Itoa(int(s)))
}

// transitions lists the states that may follow each state. An end that goes
// back to InitWait is ready for its peer to start over.
var transitions = [...][]State{
	Gone:         {Initialising},
	Initialising: {InitWait, Initialised, Connected, Closing, Closed, Gone},
	InitWait:     {Initialising, Initialised, Connected, Closing, Closed, Gone},
	Initialised:  {Initialising, InitWait, Connected, Closing, Closed, Gone},
	Connected:    {Initialising, InitWait, Closing, Closed, Gone},
	Closing:      {Initialising, InitWait, Closed, Gone},
	Closed:       {Initialising, InitWait, Gone},
}

// MayBecome reports whether an end may go from s to next. It is false if they
// are equal.
func (s State) MayBecome(next State) bool {
	return int(s) < len(transitions) && slices.Contains(transitions[s], next)
}

// ErrPeerClosed is returned by WaitState when the peer closes first.
var ErrPeerClosed = errors.New("xenbus: peer closed")

// WaitState waits until the state in a node is one of those wanted. It returns
// ErrPeerClosed if the peer closes first.
func WaitState(ctx context.Context, store *xenstore.Client, path string, want ...State) (State, error) {
	return wait(ctx, store, path, true, want)
}

// WaitReopen is like WaitState, but waits on while the peer is closing or
// closed.
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
