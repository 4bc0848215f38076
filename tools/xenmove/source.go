package xenmove

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"stubtpm/drivers/xen"
)

// A Source moves guests of its host to another one.
type Source struct {
	Guests  Guests
	Records Records
	// Dial starts a Receiver at the target and returns its input and output.
	Dial func(ctx context.Context) (io.ReadWriteCloser, error)
	// Start starts xl migrate of a guest. What it would send to the target is read from
	// the Process. If this program ends after it noted that the vTPM may have been sent
	// away, xl must not notice: it would have the guest run here.
	Start func(ctx context.Context, guest string, lock Lock) (Process, error)
	// VTPM is that of the guest, nil if it has none.
	VTPM Leaving
	Log  func(format string, args ...any)
}

// A phase is how far a move has come.
type phase string

const (
	copying phase = "copying" // the vTPM was not sent away
	sending phase = "sending" // it may have been
	going   phase = "going"   // the target's copy of the guest may run
)

// A departure is what a Source remembers of a move.
type departure struct {
	Guest  string
	Key    string // of the move: random, hexadecimal
	UUID   string // of the vTPM, "" without one
	Domain xen.DomID
	Phase  phase
}

// DepartureRecord is the name of the record of a guest that leaves.
func DepartureRecord(guest string) string { return "leaving-" + guest }

// DepartedVTPM returns the UUID of the vTPM of a guest that leaves, "" if it leaves without one, by
// its record.
func DepartedVTPM(record []byte) (uuid string, err error) {
	var d struct{ UUID *string }
	if err := json.Unmarshal(record, &d); err != nil {
		return "", err
	}
	if d.UUID == nil {
		return "", fmt.Errorf("%w: by the version of this program that began it", ErrUnfinished)
	}
	return *d.UUID, nil
}

// Holds reports whether xl migrate must not notice the end of the Source that started it: the
// record of that says that the vTPM may have been sent away. One that cannot be read may say
// so.
func Holds(record []byte) bool {
	var d departure
	return json.Unmarshal(record, &d) != nil || d.Phase != copying
}

// A hello is what a Receiver is told first.
type hello struct {
	Guest   string
	Key     string
	UUID    string // of the vTPM, "" without one
	Request []byte
}

// retry is the pause before another attempt that must succeed.
const retry = time.Second

// How often the target is asked to destroy its copy of a guest that stays, and how long
// that may take each time.
const (
	clearTries = 5
	clearWait  = 20 * time.Second
)

// A move is a move under way.
type move struct {
	*Source
	departure
	line *line
	xl   Process

	handed    atomic.Bool // xl was told that the copy is complete
	permitted chan struct{}
	ended     chan struct{} // xl's output has ended
	gos       int           // how often kindGo was sent
}

// Move moves a guest. After a nil error it runs at the target. ErrStays, ErrParted and
// ErrUnknown say where guest and vTPM are otherwise; after other errors the move has to be
// finished. Once the vTPM may have been sent away the end of ctx has no effect.
func (s *Source) Move(ctx context.Context, guest string) error {
	lock, err := s.Records.Lock(guest)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, ok, err := s.Records.Load(DepartureRecord(guest)); err != nil || ok {
		return errors.Join(err, ErrUnfinished)
	}
	id, ok, err := s.Guests.Find(ctx, guest)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("xenmove: no domain named %s", guest)
	}
	m := s.move(departure{Guest: guest, Domain: id, Phase: copying, UUID: s.uuid()})
	defer m.hangUp()
	var key [16]byte
	rand.Read(key[:])
	m.Key = hex.EncodeToString(key[:])
	if err := m.greet(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrStays, err)
	}
	if err := m.note(copying); err != nil {
		return fmt.Errorf("%w: %w", ErrStays, err)
	}
	if m.xl, err = s.Start(ctx, guest, lock); err != nil {
		return m.stay(ctx, err)
	}
	go m.pump(m.xl, m.line)
	if err := m.copied(ctx); err != nil {
		return m.stay(ctx, err)
	}
	if s.VTPM != nil {
		s.Log("%s has stopped, its memory is copied: freezing the vTPM", guest)
		if err := s.VTPM.Freeze(ctx); err != nil {
			return m.stay(ctx, err)
		}
	}
	return m.handOver(context.WithoutCancel(ctx))
}

// Finish ends a move of a guest that was interrupted, one way or the other: its errors are
// those of Move. Without such a move it returns nil.
func (s *Source) Finish(ctx context.Context, guest string) error {
	lock, err := s.Records.Take(guest)
	if err != nil {
		return err
	}
	defer lock.Close()
	b, ok, err := s.Records.Load(DepartureRecord(guest))
	if err != nil || !ok {
		return err
	}
	m := s.move(departure{})
	if err := json.Unmarshal(b, &m.departure); err != nil {
		return err
	}
	if m.UUID != s.uuid() {
		return fmt.Errorf("%w: it began with the vTPM %q, and is to be ended with %q", ErrUnfinished, m.UUID, s.uuid())
	}
	defer m.hangUp()
	interrupted := errors.New("the program that moved it was interrupted")
	if m.Phase == copying {
		return m.stay(ctx, interrupted)
	}
	return m.handOver(ctx)
}

func (s *Source) uuid() string {
	if s.VTPM == nil {
		return ""
	}
	return s.VTPM.UUID()
}

func (s *Source) move(d departure) *move {
	return &move{Source: s, departure: d, permitted: make(chan struct{}), ended: make(chan struct{})}
}

// note records how far the move has come.
func (m *move) note(p phase) error {
	m.Phase = p
	b, err := json.Marshal(m.departure)
	if err != nil {
		return err
	}
	return m.Records.Save(DepartureRecord(m.Guest), b)
}

func (m *move) hangUp() {
	if m.line != nil {
		m.line.close()
		m.line = nil
	}
}

func (m *move) hello(request []byte) ([]byte, error) {
	return json.Marshal(hello{Guest: m.Guest, Key: m.Key, UUID: m.UUID, Request: request})
}

// greet has the target prepare for the guest, and the move approved.
func (m *move) greet(ctx context.Context) error {
	var request []byte
	var err error
	if m.VTPM != nil {
		if request, err = m.VTPM.Request(ctx); err != nil {
			return err
		}
	}
	h, err := m.hello(request)
	if err != nil {
		return err
	}
	c, err := m.Dial(ctx)
	if err != nil {
		return err
	}
	m.line = join(c)
	if err := m.line.sendWithin(ctx, kindHello, h); err != nil {
		return err
	}
	offer, err := await(ctx, m.line, kindOffer)
	if err != nil || m.VTPM == nil {
		return err
	}
	return m.VTPM.Approve(ctx, offer.body)
}

// await waits for a frame of one of the kinds.
func await(ctx context.Context, l *line, kinds ...kind) (frame, error) {
	select {
	case f, ok := <-l.in:
		switch {
		case !ok:
			return f, fmt.Errorf("the link to the other host: %w", io.ErrUnexpectedEOF)
		case slices.Contains(kinds, f.kind):
			return f, nil
		case f.kind == kindFailed:
			return f, fmt.Errorf("the other host: %q", f.body)
		}
		return f, fmt.Errorf("%w: kind %q", errFrame, byte(f.kind))
	case <-ctx.Done():
		return frame{}, ctx.Err()
	}
}

// pump sends what xl writes, until its end. After the copy that is the permission to run.
func (m *move) pump(xl io.Reader, l *line) {
	defer close(m.ended)
	b, last := make([]byte, 128<<10), []byte(nil)
	for {
		n, err := xl.Read(b)
		switch {
		case n == 0:
		case !m.handed.Load():
			if l.send(kindData, b[:n]) != nil {
				l.close()
			}
		default:
			if last = append(last, b[:n]...); string(last) == xlGo {
				close(m.permitted)
			}
			last = last[:min(len(last), len(xlGo))]
		}
		if err != nil {
			return
		}
	}
}

// copied waits until the copy at the target is complete.
func (m *move) copied(ctx context.Context) error {
	for _, k := range []kind{kindBegin, kindReady} {
		got, l := make(chan error, 1), m.line
		wait, cancel := context.WithCancel(ctx)
		go func() {
			_, err := await(wait, l, k)
			got <- err
		}()
		var err error
		select {
		case err = <-got:
		case <-m.ended:
			err = ErrGivenUp
		}
		cancel()
		if err != nil {
			return err
		}
		if k == kindBegin {
			if _, err := io.WriteString(m.xl, xlBanner); err != nil {
				return err
			}
		}
	}
	return nil
}

// stay has guest and vTPM stay at the source, because of an error. The vTPM comes first:
// the guest's driver waits for it as soon as it runs.
func (m *move) stay(ctx context.Context, why error) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if m.VTPM != nil {
		errs = append(errs, m.VTPM.Thaw(ctx))
	}
	errs = append(errs, m.note(copying)) // so that xl notices the end of its link
	errs = append(errs, m.endXL(), m.resume(ctx))
	m.clear(ctx)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w; %w", ErrUnfinished, why, err)
	}
	return m.end(ErrStays, why)
}

// clear has the target destroy what it has of the guest. If it is not reached the next
// move does so: nothing there will run.
func (m *move) clear(ctx context.Context) {
	for range clearTries {
		wait, cancel := context.WithTimeout(ctx, clearWait)
		err := error(nil)
		if m.line == nil {
			err = m.redial(wait)
		}
		if err == nil {
			if err = m.line.sendWithin(wait, kindAbandon, nil); err == nil {
				_, err = await(wait, m.line, kindHere)
			}
			m.hangUp()
		}
		cancel()
		if err == nil {
			return
		}
		time.Sleep(retry)
	}
}

// endXL ends xl, which resumes the guest if it has stopped it and was not told that the
// copy is complete. How xl ends does not matter: what the guest does is looked at.
func (m *move) endXL() error {
	if m.xl == nil {
		return nil
	}
	err := m.xl.Close()
	m.xl.Wait()
	m.xl = nil
	return err
}

// resume has the guest run at the source if nobody else has done so.
func (m *move) resume(ctx context.Context) error {
	s, err := m.Guests.State(ctx, m.Domain)
	if err == nil && s == Stopped {
		err = m.Guests.Resume(ctx, m.Domain, m.Guest)
	}
	return err
}

// end forgets the move and returns how it ended.
func (m *move) end(how, why error) error {
	if err := m.Records.Remove(DepartureRecord(m.Guest)); err != nil {
		return errors.Join(ErrUnfinished, err)
	}
	if how != nil && why != nil {
		return fmt.Errorf("%w: %w", how, why)
	}
	return how
}

// redial makes another link to the target.
func (m *move) redial(ctx context.Context) error {
	m.hangUp()
	h, err := m.hello(nil)
	if err != nil {
		return err
	}
	c, err := m.Dial(ctx)
	if err != nil {
		return err
	}
	m.line = join(c)
	if err = m.line.sendWithin(ctx, kindAgain, h); err == nil {
		_, err = await(ctx, m.line, kindHere)
	}
	if err != nil {
		m.hangUp()
	}
	return err
}

// exchange sends a frame, and again on as many links as it takes, until it has an answer
// of one of the kinds.
func (m *move) exchange(ctx context.Context, k kind, body []byte, answers ...kind) (f frame, err error) {
	err = m.insist(ctx, func() error {
		if m.line == nil {
			if err := m.redial(ctx); err != nil {
				return err
			}
		}
		if k == kindGo {
			m.gos++
		}
		err := m.line.sendWithin(ctx, k, body)
		if err == nil {
			f, err = await(ctx, m.line, answers...)
		}
		if err != nil {
			m.hangUp()
		}
		return err
	})
	return f, err
}

// insist calls do until it succeeds or ctx ends, and says now and then why it did not.
func (m *move) insist(ctx context.Context, do func() error) error {
	var said time.Time
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrUnfinished, err)
		}
		if now := time.Now(); now.Sub(said) > 30*time.Second {
			said = now
			m.Log("%s waits, stopped: %v", m.Guest, err)
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

// handOver sends the vTPM away, and has the guest run where the vTPM is.
func (m *move) handOver(ctx context.Context) error {
	if m.VTPM == nil {
		return m.letGo(ctx)
	}
	if m.Phase == copying {
		if err := m.note(sending); err != nil {
			return m.stay(ctx, err)
		}
	}
	if m.xl == nil {
		// The xl of an interrupted move may have resumed the guest. Then the copy must
		// not run, which comes before anything that would let it.
		if runs, err := m.resumed(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrUnfinished, err)
		} else if runs {
			if err := m.dropCopy(ctx); err != nil {
				return err
			}
		}
	}
	var t Transfer
	err := m.insist(ctx, func() (err error) {
		if t, err = m.VTPM.Transfer(ctx); errors.Is(err, ErrNotSent) {
			err = nil
			t = Transfer{}
		}
		return err
	})
	if err != nil {
		return err
	}
	if t.Message == nil {
		return m.stay(ctx, ErrNotSent)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	var release []byte
	moved := false
	err = m.insist(ctx, func() error {
		f, err := m.exchange(ctx, kindTransfer, body, kindAnswer)
		if err == nil {
			release, moved, err = m.VTPM.Answer(ctx, f.body)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !moved {
		return m.stay(ctx, errors.New("the other host's manager has refused the vTPM"))
	}
	if _, err := m.exchange(ctx, kindRelease, release, kindServes); err != nil {
		return err
	}
	return m.letGo(ctx)
}

// resumed reports whether the guest runs at the source.
func (m *move) resumed(ctx context.Context) (bool, error) {
	s, err := m.Guests.State(ctx, m.Domain)
	return s == Running, err
}

// dropCopy has the target destroy its copy of a guest that runs at the source.
func (m *move) dropCopy(ctx context.Context) error {
	f, err := m.exchange(ctx, kindAbandon, nil, kindHere, kindDone)
	if err == nil && f.kind == kindDone {
		err = fmt.Errorf("%w: %s RUNS ON BOTH HOSTS", ErrUnfinished, m.Guest)
	}
	return err
}

// letGo has the guest run at the target.
func (m *move) letGo(ctx context.Context) error {
	old := m.Phase == going
	if err := m.note(going); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	if m.xl != nil {
		// xl renames its guest and gives the permission, or is dead.
		m.handed.Store(true)
		io.WriteString(m.xl, xlReady)
		select {
		case <-m.permitted:
		case <-m.ended:
			if err := m.endXL(); err != nil {
				return fmt.Errorf("%w: %w", ErrUnfinished, err)
			}
		}
	}
	if m.xl == nil {
		// It may have resumed the guest before it died.
		if runs, err := m.resumed(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrUnfinished, err)
		} else if runs {
			if err := m.dropCopy(ctx); err != nil {
				return err
			}
			return m.parted(errors.New("xl has resumed it"))
		}
	}
	f, err := m.exchange(ctx, kindGo, nil, kindDone, kindUnknown)
	if err != nil {
		return err
	}
	switch {
	case f.kind == kindUnknown && (old || m.gos > 1):
		if m.xl != nil {
			m.xl.Kill() // it would wait, or have the guest run
			m.xl = nil
		}
		return ErrUnknown
	case f.kind == kindUnknown:
		// The target has lost all, and was never told to have the guest run.
		return m.back(ctx, 255)
	case len(f.body) != 1:
		return fmt.Errorf("%w: %w", ErrUnfinished, errFrame)
	case f.body[0] != 0:
		return m.back(ctx, f.body[0])
	}
	if m.xl != nil {
		io.WriteString(m.xl, xlReport+"\x00")
		m.xl.Wait() // it destroys the guest here
		m.xl = nil
	}
	if s, err := m.Guests.State(ctx, m.Domain); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	} else if s != Gone {
		if err := m.Guests.Destroy(ctx, m.Domain); err != nil {
			return fmt.Errorf("%w: %w", ErrUnfinished, err)
		}
	}
	return m.end(nil, nil)
}

// back has the guest go on at the source, since the target's copy did not come to run.
func (m *move) back(ctx context.Context, code byte) error {
	if m.xl != nil {
		io.WriteString(m.xl, xlReport+string([]byte{code})+xlGo)
		m.xl.Wait()
		m.xl = nil
	}
	if err := m.resume(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return m.parted(fmt.Errorf("the copy at the other host did not run, code %d", code))
}

// parted ends a move after which the guest runs at the source.
func (m *move) parted(why error) error {
	if m.VTPM == nil {
		return m.end(ErrStays, why)
	}
	return m.end(ErrParted, why)
}
