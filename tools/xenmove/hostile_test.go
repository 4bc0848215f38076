package xenmove

import (
	"encoding/json"
	"testing"
	"testing/synctest"
)

// TestNoLeave has a source that gives leave to run before the vTPM can serve, or names a
// guest that would be a file elsewhere.
func TestNoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.hosts[0].domains[7].state = Stopped
		_, ours, its := newPipe()
		p := w.proc("receiver", 1)
		served := make(chan error, 1)
		go func() { served <- w.receiver(p).Serve(t.Context(), its) }()
		l := join(ours)
		h, _ := json.Marshal(hello{Guest: guestName, Key: "k", UUID: "uuid"})
		l.send(kindHello, h)
		for _, k := range []kind{kindOffer, kindBegin} {
			if _, err := await(t.Context(), l, k); err != nil {
				t.Fatal(err)
			}
		}
		l.send(kindData, []byte(endOfStream))
		if _, err := await(t.Context(), l, kindReady); err != nil {
			t.Fatal(err)
		}
		l.send(kindGo, nil)
		if f, err := await(t.Context(), l, kindDone); err == nil {
			t.Errorf("it ran: %+v", f)
		}
		l.close()
		if err := <-served; err == nil {
			t.Error("no error")
		}
		if len(w.hosts[1].domains) != 0 || w.there != "refused" || len(w.wrong) > 0 {
			t.Errorf("left: %v, vTPM %s, %q", w.hosts[1].domains, w.there, w.wrong)
		}
		for _, name := range []string{"", "../x", "a/b", "-x", "a b"} {
			_, ours, its := newPipe()
			l := join(ours)
			h, _ := json.Marshal(hello{Guest: name, Key: "k"})
			l.send(kindHello, h)
			if err := w.receiver(p).Serve(t.Context(), its); err == nil {
				t.Errorf("%q was taken", name)
			}
			l.close()
		}
	})
}

// FuzzServe has a source that sends anything.
func FuzzServe(f *testing.F) {
	h, _ := json.Marshal(hello{Guest: guestName, Key: "k", UUID: "uuid"})
	seed := func(frames ...frame) {
		_, a, b := newPipe()
		for _, x := range frames {
			writeFrame(a, x.kind, x.body)
		}
		f.Add(b.p.ways[0].data)
	}
	start := frame{kindHello, h}
	seed(start, frame{kindData, []byte(endOfStream)}, frame{kindTransfer, []byte(`{"State":"c3RhdGU=","Message":"bWVzc2FnZQ=="}`)},
		frame{kindRelease, []byte("release")}, frame{kindGo, nil})
	seed(start, frame{kindAbandon, nil}, frame{kindGo, nil})
	seed(frame{kindAgain, h}, frame{kindRelease, nil}, frame{kindGo, nil})
	f.Add([]byte("H\x00\x00\x00\x01{"))
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, false)
			w.here = "gone" // what the source's manager does is not looked at here
			w.hosts[0].domains[7].state = Stopped
			_, ours, its := newPipe()
			p := w.proc("receiver", 1)
			served := make(chan struct{})
			go func() { defer close(served); w.receiver(p).Serve(t.Context(), its) }()
			ours.Write(in)
			synctest.Wait()
			ours.Close()
			synctest.Wait()
			w.mu.Lock()
			for _, p := range w.procs {
				p.kill()
			}
			w.mu.Unlock()
			synctest.Wait()
			for _, s := range w.wrong {
				t.Error(s)
			}
		})
	})
}
