package xenmove

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalledTarget has a target that reads no more while the guest is copied: the program ends
// when it is told to, and the guest stays.
func TestStalledTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		s, _ := w.source()
		ctx, stop := context.WithCancel(t.Context())
		links := 0
		s.Dial = func(context.Context) (io.ReadWriteCloser, error) {
			ours, its := net.Pipe() // nothing is on its way: a write waits for its reader
			links++
			t.Cleanup(func() { its.Close() })
			if links > 1 {
				return ours, nil // it reads nothing at all
			}
			go func() {
				readFrame(its)
				writeFrame(its, kindOffer, []byte("offer"))
				writeFrame(its, kindBegin, nil)
				time.Sleep(time.Minute)
				stop()
			}()
			return ours, nil
		}
		begin := time.Now()
		err := s.Move(ctx, guestName)
		if !errors.Is(err, ErrStays) || time.Since(begin) > 5*time.Minute || w.where() != "guest here, vTPM here" {
			t.Errorf("%v after %v: %s", err, time.Since(begin), w.where())
		}
	})
}

// refusing is a vTPM that comes, whose manager has a refusal for any other handover.
type refusing struct{ arriving }

func (a refusing) Receive(ctx context.Context, x Transfer) ([]byte, bool, error) {
	if string(x.Message) == "another" {
		return []byte("refusal"), false, nil
	}
	return a.arriving.Receive(ctx, x)
}

// visitor is a source that does what it likes at a receiver that has a complete copy.
func visitor(t *testing.T, w *world) (r *Receiver, p *proc, l *line, served chan error) {
	t.Helper()
	w.here = "gone"
	w.hosts[0].domains[7].state = Stopped
	_, ours, its := newPipe()
	p = w.proc("receiver", 1)
	r = w.receiver(p)
	r.VTPM = func(guest, uuid string) (Arriving, error) { return refusing{arriving{p}}, nil }
	served = make(chan error, 1)
	go func() { served <- r.Serve(t.Context(), its) }()
	l = join(ours)
	say(t, l, kindHello, kindOffer, hello{Guest: guestName, Key: "k", UUID: "uuid"})
	if _, err := await(t.Context(), l, kindBegin); err != nil {
		t.Fatal(err)
	}
	l.send(kindData, []byte(endOfStream))
	if _, err := await(t.Context(), l, kindReady); err != nil {
		t.Fatal(err)
	}
	say(t, l, kindTransfer, kindAnswer, w.transfer())
	return r, p, l, served
}

// say sends a frame and waits for the answer.
func say(t *testing.T, l *line, k, answer kind, body any) frame {
	t.Helper()
	b, err := json.Marshal(body)
	if err == nil {
		err = l.send(k, b)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := await(t.Context(), l, answer)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestReceiptStands: after the receipt another handover, which is refused, does not have the copy
// destroyed when the link ends: the vTPM is here.
func TestReceiptStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		_, p, l, served := visitor(t, w)
		say(t, l, kindTransfer, kindAnswer, Transfer{Message: []byte("another")})
		l.close()
		synctest.Wait()
		if len(w.hosts[1].domains) != 1 || w.there != "received" {
			t.Errorf("left: %v, vTPM %s", w.hosts[1].domains, w.there)
		}
		w.mu.Lock()
		p.kill()
		w.mu.Unlock()
		synctest.Wait()
		select {
		case <-served:
		default:
		}
	})
}

// TestOtherVTPM: a later link cannot have the copy of a guest run without the vTPM that it came
// with, by naming none or another.
func TestOtherVTPM(t *testing.T) {
	t.Parallel()
	for _, uuid := range []string{"", "other"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, false)
			r, p, l, _ := visitor(t, w)
			l.close()
			synctest.Wait()
			w.mu.Lock()
			p.kill()
			w.procs["xl receive"].kill()
			w.mu.Unlock()
			synctest.Wait()
			p = w.proc("receiver", 1)
			next := w.receiver(p)
			next.VTPM = r.VTPM
			_, ours, its := newPipe()
			served := make(chan error, 1)
			go func() { served <- next.Serve(t.Context(), its) }()
			l = join(ours)
			h, _ := json.Marshal(hello{Guest: guestName, Key: "k", UUID: uuid})
			l.send(kindAgain, h)
			if _, err := await(t.Context(), l, kindHere); err == nil {
				l.send(kindGo, nil)
				f, err := await(t.Context(), l, kindDone)
				t.Errorf("%q was taken: %+v, %v", uuid, f, err)
			}
			l.close()
			if err := <-served; err == nil {
				t.Error("no error")
			}
			for _, d := range w.hosts[1].domains {
				if d.state != Waiting {
					t.Errorf("the copy: %+v", d)
				}
			}
		})
	}
}

// TestFinishOtherVTPM: a move is ended with the vTPM that it began with.
func TestFinishOtherVTPM(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		b, _ := json.Marshal(departure{Guest: guestName, Key: "k", Domain: 7, Phase: sending, UUID: "uuid"})
		w.hosts[0].records[DepartureRecord(guestName)] = b
		s, _ := w.source()
		s.VTPM = nil
		if err := s.Finish(t.Context(), guestName); !errors.Is(err, ErrUnfinished) {
			t.Errorf("ended without: %v", err)
		}
		if uuid, err := DepartedVTPM(b); uuid != "uuid" || err != nil {
			t.Errorf("%q, %v", uuid, err)
		}
		for _, bad := range []string{"{", `{"Guest":"mail"}`} {
			if _, err := DepartedVTPM([]byte(bad)); err == nil {
				t.Errorf("%s: no error", bad)
			}
		}
	})
}
