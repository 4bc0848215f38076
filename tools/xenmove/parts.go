package xenmove

import (
	"context"
	"errors"
	"io"

	"stubtpm/drivers/xen"
)

// A State is what a domain does.
type State int

const (
	Gone    State = iota // there is no such domain, or it is being destroyed
	Running              // it runs, or is paused by an administrator
	Waiting              // a copy that has not run yet
	Stopped              // it was suspended for a move and not resumed
)

// Guests are the domains of a host.
type Guests interface {
	// Find returns the domain of a name, ok false if none has it.
	Find(ctx context.Context, name string) (id xen.DomID, ok bool, err error)
	State(ctx context.Context, id xen.DomID) (State, error)
	// Resume has a stopped domain go on where it was stopped, under a name.
	Resume(ctx context.Context, id xen.DomID, name string) error
	// Run has a domain run that waits, under a name.
	Run(ctx context.Context, id xen.DomID, name string) error
	Destroy(ctx context.Context, id xen.DomID) error
}

// A Process is one of xl's programs. Close ends its input, Wait waits for its end, and Kill
// ends it at once: the guest stays as it is.
type Process interface {
	io.ReadWriteCloser
	Wait() error
	Kill()
}

// A Lock is held for a guest by the programs of this package that move it, and by the
// programs of xl that they started. So whoever has it knows that no xl is at work.
type Lock interface{ io.Closer }

// Records are small files of a host that are gone when that is switched on.
type Records interface {
	// Lock fails with ErrBusy if another program has the lock.
	Lock(guest string) (Lock, error)
	// Take is Lock, and kills a program of xl that was left by one that had the lock.
	Take(guest string) (Lock, error)
	Load(name string) (b []byte, ok bool, err error)
	Save(name string, b []byte) error
	Remove(name string) error
	// Listen waits for a program of this host that calls Visit with the same name. It
	// can be visited again after the connection was closed.
	Listen(ctx context.Context, name string) (io.ReadWriteCloser, error)
	// Visit fails if nobody listens.
	Visit(ctx context.Context, name string) (io.ReadWriteCloser, error)
}

// A Leaving is the vTPM of a guest that leaves, with its manager.
type Leaving interface {
	// UUID is that of the vTPM.
	UUID() string
	// Request returns what the target's manager needs to make an offer.
	Request(ctx context.Context) ([]byte, error)
	// Approve has the offer approved by whoever may approve moves of this vTPM.
	Approve(ctx context.Context, offer []byte) error
	// Freeze has the vTPM end its command, run no more and save its whole state.
	Freeze(ctx context.Context) error
	// Thaw undoes it, unless the vTPM was sent away.
	Thaw(ctx context.Context) error
	// Transfer sends the vTPM away: from then on it cannot serve, until Answer has had
	// a refusal. Called again it returns the same. After ErrNotSent it was not sent away;
	// after another error it may have been.
	Transfer(ctx context.Context) (Transfer, error)
	// Answer takes the target's answer. moved is true after a receipt, and release is
	// what lets the target's vTPM serve.
	Answer(ctx context.Context, answer []byte) (release []byte, moved bool, err error)
}

// A Transfer is what a target needs to have the vTPM.
type Transfer struct {
	State   []byte // the sealed state, as it is on the vTPM's disk
	Message []byte // of the source's manager
}

// An Arriving is the vTPM of a guest that comes, with its manager. All but Offer may be
// called again and then do the same.
type Arriving interface {
	// Offer starts the domain of the vTPM, which waits for its state, and returns the
	// manager's offer to take it.
	Offer(ctx context.Context, request []byte) ([]byte, error)
	// Refuse has the manager refuse the offered move for good, unless it has given a
	// receipt.
	Refuse(ctx context.Context) error
	// Receive returns the manager's receipt or refusal.
	Receive(ctx context.Context, t Transfer) (answer []byte, taken bool, err error)
	// Release returns once the vTPM can serve.
	Release(ctx context.Context, release []byte) error
	// Restored reports that a domain, which has not run, is the guest as it left.
	Restored(ctx context.Context, id xen.DomID) error
}

// Errors.
var (
	// ErrBusy means that another program moves the guest.
	ErrBusy = errors.New("xenmove: another program moves this guest")
	// ErrUnfinished means that an earlier move was interrupted: see Source.Finish.
	ErrUnfinished = errors.New("xenmove: an earlier move of this guest was interrupted and has to be finished")
	// ErrNotSent means that the source's manager has not sent the vTPM away.
	ErrNotSent = errors.New("xenmove: the vTPM was not sent away")
	// ErrGivenUp means that xl has ended by itself before the copy was complete. A guest that it
	// had asked to stop may do so later.
	ErrGivenUp = errors.New("xenmove: xl migrate has ended")
	// ErrStays means that guest and vTPM are at the source as before.
	ErrStays = errors.New("xenmove: the guest and its vTPM stay where they were")
	// ErrParted means that the guest is at the source and its vTPM at the target.
	ErrParted = errors.New("xenmove: the guest stays where it was, but its vTPM is at the other host")
	// ErrUnknown means that the guest may have run at the target, so that its copy at the
	// source stays stopped.
	ErrUnknown = errors.New("xenmove: the other host cannot say whether the guest has run there")
)
