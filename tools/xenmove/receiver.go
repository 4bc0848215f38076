package xenmove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"stubtpm/drivers/xen"
)

// A Receiver takes guests from another host.
type Receiver struct {
	Guests  Guests
	Records Records
	// Start starts xl migrate-receive.
	Start func(ctx context.Context, lock Lock) (Process, error)
	// VTPM returns the vTPM of a guest, by the names that the source gives.
	VTPM func(guest, uuid string) (Arriving, error)
	Log  func(format string, args ...any)
}

// A fate is what has become of the target's copy of a guest.
type fate string

const (
	coming  fate = "coming"  // it is being copied
	held    fate = "held"    // it is complete, paused, and has a name of its own
	freed   fate = "freed"   // xl was told to have it run
	started fate = "started" // it has run
	lost    fate = "lost"    // it was destroyed and has not run
	unknown fate = "unknown" // this host has no record of it
)

// incoming is the name that xl gives a copy that has not run.
func incoming(guest string) string { return guest + "--incoming" }

// An arrival is a guest that comes.
type arrival struct {
	*Receiver
	hello
	Fate fate

	vtpm     Arriving // nil for a guest without one
	line     *line
	xl       Process
	events   chan xlEvent
	xlEnd    chan error
	taken    bool // the manager has given a receipt
	released bool // the vTPM serves
}

// names are those that a Receiver takes: they become names of files.
var names = regexp.MustCompile(`^[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,63}$`)

// Serve serves one link until the move has ended. It returns nil if that went its way.
func (r *Receiver) Serve(ctx context.Context, c io.ReadWriteCloser) error {
	l := join(c)
	defer l.close()
	var f frame
	select {
	case f = <-l.in:
	case <-ctx.Done():
		return ctx.Err()
	}
	a := &arrival{Receiver: r, line: l, events: make(chan xlEvent, 3), xlEnd: make(chan error, 1)}
	err := json.Unmarshal(f.body, &a.hello)
	if err == nil && (f.kind != kindHello && f.kind != kindAgain || !names.MatchString(a.Guest) || !names.MatchString(a.Key)) {
		err = errFrame
	}
	if err == nil && a.UUID != "" {
		a.vtpm, err = r.VTPM(a.Guest, a.UUID)
	}
	if err == nil {
		if f.kind == kindHello {
			err = a.first(ctx)
		} else {
			err = a.again(ctx, c)
		}
	}
	if err != nil {
		a.line.send(kindFailed, []byte(err.Error()))
	}
	a.line.close()
	return err
}

// A fateRecord is what a Receiver remembers of a move.
type fateRecord struct {
	Fate            fate
	Taken, Released bool
	UUID            *string // of the vTPM, "" without one; nil in a record of an earlier version
}

func (a *arrival) file() string { return "arriving-" + a.Key }

func (a *arrival) note(f fate) error {
	a.Fate = f
	b, err := json.Marshal(fateRecord{f, a.taken, a.released, &a.UUID})
	if err != nil {
		return err
	}
	return a.Records.Save(a.file(), b)
}

// first receives a guest.
func (a *arrival) first(ctx context.Context) error {
	lock, err := a.Records.Lock(a.Guest)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, ok, err := a.Guests.Find(ctx, a.Guest); err != nil || ok {
		return errors.Join(err, fmt.Errorf("xenmove: a domain named %s is here", a.Guest))
	}
	// No program has the lock, so nobody else will ever see to this one.
	if err := a.destroy(ctx, incoming(a.Guest)); err != nil {
		return err
	}
	if err := a.note(coming); err != nil {
		return err
	}
	var offer []byte
	if a.vtpm != nil {
		if offer, err = a.vtpm.Offer(ctx, a.Request); err != nil {
			return err
		}
	}
	if err := a.line.send(kindOffer, offer); err != nil {
		return a.abandon(ctx)
	}
	if a.xl, err = a.Start(ctx, lock); err != nil {
		return errors.Join(err, a.abandon(ctx))
	}
	go func() {
		err := readReceiver(a.xl, func(e xlEvent) { a.events <- e })
		if errors.Is(err, errXL) {
			a.xl.Close()
		}
		io.Copy(io.Discard, a.xl)
		a.xl.Wait()
		a.xlEnd <- err
	}()
	return a.serve(ctx)
}

// again serves another link of a move.
func (a *arrival) again(ctx context.Context, c io.ReadWriteCloser) error {
	lock, err := a.Records.Lock(a.Guest)
	if errors.Is(err, ErrBusy) {
		// The program that has the guest takes the link over.
		v, err := a.Records.Visit(ctx, a.Key)
		if err != nil {
			return errors.Join(ErrBusy, err)
		}
		return a.bridge(v)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	b, ok, err := a.Records.Load(a.file())
	if err != nil {
		return err
	}
	a.Fate = unknown
	if ok {
		var n fateRecord
		if err := json.Unmarshal(b, &n); err != nil {
			return err
		}
		if n.UUID != nil && *n.UUID != a.UUID {
			return fmt.Errorf("xenmove: %s came with the vTPM %q, not %q", a.Guest, *n.UUID, a.UUID)
		}
		a.Fate, a.taken, a.released = n.Fate, n.Taken, n.Released
	}
	if err := a.settle(ctx); err != nil {
		return err
	}
	if err := a.line.send(kindHere, nil); err != nil {
		return nil
	}
	return a.serve(ctx)
}

// bridge joins the link to the program that has the guest.
func (a *arrival) bridge(v io.ReadWriteCloser) error {
	other := join(v)
	defer other.close()
	for {
		select {
		case f, ok := <-a.line.in:
			if !ok || other.send(f.kind, f.body) != nil {
				return nil
			}
		case f, ok := <-other.in:
			if !ok || a.line.send(f.kind, f.body) != nil {
				return nil
			}
		}
	}
}

// serve obeys the source, on the present link and those that visitors bring.
func (a *arrival) serve(ctx context.Context) error {
	listening, stop := context.WithCancel(ctx)
	defer stop()
	visits := make(chan io.ReadWriteCloser)
	if a.xl != nil {
		go func() {
			for listening.Err() == nil {
				c, err := a.Records.Listen(listening, a.Key)
				if err != nil {
					return
				}
				select {
				case visits <- c:
				case <-listening.Done():
					c.Close()
				}
			}
		}()
	}
	for {
		in := a.line.in
		select {
		case f, ok := <-in:
			if ok {
				if err := a.notice(ctx); err != nil {
					return err
				}
				end, err := a.obey(ctx, f)
				if err != nil {
					// The source may ask again.
					a.line.send(kindFailed, []byte(err.Error()))
					if !a.taken {
						return errors.Join(err, a.abandon(ctx))
					}
				}
				if end {
					return nil
				}
				continue
			}
			if !a.taken {
				return a.abandon(ctx)
			}
			if a.xl == nil {
				return nil // its state is on record, for another link
			}
			// The source alone knows whether the guest goes on here.
			a.Log("%s: the link is gone: the copy waits, paused", a.Guest)
			select {
			case c := <-visits:
				a.welcome(c)
			case <-ctx.Done():
				return ctx.Err()
			}
		case c := <-visits:
			a.welcome(c)
		case e := <-a.events:
			if err := a.progress(e); err != nil {
				a.Log("%s: %v", a.Guest, err)
			}
		case err := <-a.xlEnd:
			a.xl = nil
			if !a.taken {
				return errors.Join(fmt.Errorf("xl migrate-receive has ended: %w", err), a.abandon(ctx))
			}
			if err := a.settle(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			if !a.taken {
				return errors.Join(ctx.Err(), a.abandon(ctx))
			}
			return ctx.Err()
		}
	}
}

// notice notices the end of an xl with a vTPM yet to come: that would be taken without its
// guest.
func (a *arrival) notice(ctx context.Context) error {
	if a.taken || a.xl == nil {
		return nil
	}
	select {
	case err := <-a.xlEnd:
		a.xl = nil
		return errors.Join(fmt.Errorf("xl migrate-receive has ended: %w", err), a.abandon(ctx))
	default:
		return nil
	}
}

// welcome goes on with another link.
func (a *arrival) welcome(c io.ReadWriteCloser) {
	a.line.close()
	a.line = join(c)
	a.line.send(kindHere, nil)
}

// progress takes a message of xl.
func (a *arrival) progress(e xlEvent) error {
	switch e.kind {
	case kindReady:
		if err := a.note(held); err != nil {
			return err
		}
	case kindDone:
		return errXL // nobody told it to go on
	}
	return a.line.send(e.kind, nil)
}

// obey does what the source asks for, and reports whether the move has ended.
func (a *arrival) obey(ctx context.Context, f frame) (end bool, err error) {
	switch f.kind {
	case kindData:
		if a.xl != nil {
			a.xl.Write(f.body) // its end is noticed elsewhere
		}
		return false, nil
	case kindAbandon:
		if a.Fate == started {
			return false, a.line.send(kindDone, []byte{0})
		}
		if !a.taken {
			err := a.abandon(ctx)
			a.line.send(kindHere, nil)
			return a.vtpm == nil, err
		}
		if err := a.drop(ctx); err != nil {
			return false, err
		}
		return false, a.answer(kindHere, nil)
	case kindTransfer:
		var t Transfer
		if a.vtpm == nil {
			return false, errFrame
		}
		if err := json.Unmarshal(f.body, &t); err != nil {
			return false, err
		}
		if _, _, err := a.copy(ctx); err != nil {
			return false, err
		}
		if a.Fate != held && a.Fate != freed && a.Fate != started {
			// A vTPM without its guest is of no use. If there is a receipt this is
			// too late.
			if err := a.vtpm.Refuse(ctx); err != nil {
				return false, err
			}
		}
		answer, taken, err := a.vtpm.Receive(ctx, t)
		if err != nil {
			return false, err
		}
		if taken {
			a.taken = true // for good: another handover is refused
			if err := a.note(a.Fate); err != nil {
				return false, err
			}
		}
		return false, a.answer(kindAnswer, answer)
	case kindRelease:
		if a.vtpm == nil {
			return false, errFrame
		}
		if err := a.vtpm.Release(ctx, f.body); err != nil {
			return false, err
		}
		if !a.released {
			id, ok, err := a.copy(ctx)
			if err == nil && ok {
				err = a.vtpm.Restored(ctx, id)
			}
			if err != nil {
				return false, err
			}
		}
		a.taken, a.released = true, true
		if err := a.note(a.Fate); err != nil {
			return false, err
		}
		return false, a.answer(kindServes, nil)
	case kindGo:
		return false, a.free(ctx)
	}
	return false, fmt.Errorf("%w: kind %q", errFrame, byte(f.kind))
}

// copy returns the copy that is held. It may be gone: whoever gives the guest its TPM destroys
// one that cannot have it. Then it is lost.
func (a *arrival) copy(ctx context.Context) (id xen.DomID, ok bool, err error) {
	if a.Fate != held {
		return 0, false, nil
	}
	id, ok, err = a.Guests.Find(ctx, incoming(a.Guest))
	if err != nil || ok {
		return id, ok, err
	}
	if a.xl != nil {
		a.xl.Close()
		<-a.xlEnd
		a.xl = nil
	}
	return 0, false, a.note(lost)
}

// answer sends a frame. That a link is gone is noticed when it is read.
func (a *arrival) answer(k kind, body []byte) error {
	a.line.send(k, body)
	return nil
}

// free has the guest run, if it has not yet, and says what came of that.
func (a *arrival) free(ctx context.Context) error {
	if a.Fate == held && (a.vtpm == nil || a.released) {
		a.taken = true
		if err := a.note(freed); err != nil {
			return err
		}
		if a.xl != nil {
			io.WriteString(a.xl, xlGo)
			<-a.xlEnd // its report comes before
			a.xl = nil
		}
		select {
		case e := <-a.events:
			result := started
			if e.code != 0 {
				result = lost
			}
			if err := a.note(result); err != nil {
				return err
			}
		default:
		}
		if err := a.settle(ctx); err != nil {
			return err
		}
	}
	switch a.Fate {
	case started:
		return a.answer(kindDone, []byte{0})
	case lost:
		return a.answer(kindDone, []byte{255})
	case unknown:
		return a.answer(kindUnknown, nil)
	}
	return fmt.Errorf("xenmove: the copy is %s, and its vTPM does not serve", a.Fate)
}

// settle finds out what has become of a copy when no xl is at work any more.
func (a *arrival) settle(ctx context.Context) error {
	switch a.Fate {
	case coming:
		return a.lose(ctx)
	case held:
		// A complete copy needs no xl.
		if _, ok, err := a.Guests.Find(ctx, incoming(a.Guest)); err != nil || ok {
			return err
		}
		return a.note(lost)
	case freed:
		// xl may have ended before it had the guest run.
		for _, name := range []string{incoming(a.Guest), a.Guest} {
			id, ok, err := a.Guests.Find(ctx, name)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			return a.start(ctx, id)
		}
		a.Fate = unknown // it may have run and ended
	}
	return nil
}

// lose destroys a copy that has not run.
func (a *arrival) lose(ctx context.Context) error {
	if err := a.destroy(ctx, incoming(a.Guest)); err != nil {
		return err
	}
	return a.note(lost)
}

// start has a copy run that was given leave.
func (a *arrival) start(ctx context.Context, id xen.DomID) error {
	s, err := a.Guests.State(ctx, id)
	if err == nil && s == Gone {
		a.Fate = unknown // it may have run and ended
		return nil
	}
	if err == nil && s == Waiting {
		err = a.Guests.Run(ctx, id, a.Guest)
	}
	if err != nil {
		return err
	}
	return a.note(started)
}

// drop destroys the copy.
func (a *arrival) drop(ctx context.Context) error {
	if a.xl != nil {
		a.xl.Close()
		<-a.xlEnd // its output is read to the end, so that it cleans up
		a.xl = nil
	}
	if a.Fate == held {
		return a.lose(ctx)
	}
	return a.settle(ctx)
}

// abandon ends a move whose vTPM has not come: the copy is destroyed, and the manager will
// not take the vTPM any more. It is called again without harm, and after the guest has
// started it does nothing.
func (a *arrival) abandon(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if a.Fate == started {
		return nil
	}
	err := a.drop(ctx)
	if a.vtpm != nil && !a.taken {
		err = errors.Join(err, a.vtpm.Refuse(ctx))
	}
	return err
}

// destroy destroys the domain of a name, if there is one.
func (a *arrival) destroy(ctx context.Context, name string) error {
	id, ok, err := a.Guests.Find(ctx, name)
	if err == nil && ok {
		err = a.Guests.Destroy(ctx, id)
	}
	return err
}
