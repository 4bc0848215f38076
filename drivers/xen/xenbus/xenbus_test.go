package xenbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"stubtpm/drivers/xen/xenbus"
	"stubtpm/drivers/xen/xenstore"
	"stubtpm/drivers/xen/xentest"
)

// TestSteps walks every pair of states: the rows are from, the columns to.
func TestSteps(t *testing.T) {
	t.Parallel()
	for from, row := range []string{ // to 0123456 and 7, which is no state
		"-x------", "x-xxxxx-", "xx-xxxx-", "xxx-xxx-", "xxx--xx-", "xxx---x-", "xxx-----", "--------",
	} {
		for to, c := range row {
			if got := xenbus.State(from).MayBecome(xenbus.State(to)); got != (c == 'x') {
				t.Errorf("%v to %v: %v", xenbus.State(from), xenbus.State(to), got)
			}
		}
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h := xentest.NewHost()
	s := h.Domain(1).Store
	defer s.Close()
	for v, want := range map[string]xenbus.State{"1": 1, "4": 4, "6": 6, "0": 0, "7": 0, "x": 0, "": 0, "256": 0, "-1": 0} {
		if err := s.Write(ctx, "state", v); err != nil {
			t.Fatal(err)
		}
		got, err := xenbus.ReadState(ctx, s, "state")
		if got != want || (want == 0) != errors.Is(err, xenbus.ErrState) {
			t.Errorf("%q: %v, %v", v, got, err)
		}
	}
	if got, err := xenbus.ReadState(ctx, s, "none"); got != xenbus.Gone || err != nil {
		t.Error(got, err)
	}
	go func() {
		for _, v := range []string{"2", "3", "4"} {
			time.Sleep(time.Millisecond)
			s.Write(ctx, "peer", v)
		}
	}()
	if got, err := xenbus.WaitState(ctx, s, "peer", xenbus.Connected); got != xenbus.Connected || err != nil {
		t.Error(got, err)
	}
	s.Write(ctx, "peer", "5")
	if _, err := xenbus.WaitState(ctx, s, "peer", xenbus.Connected); !errors.Is(err, xenbus.ErrPeerClosed) {
		t.Error(err)
	}
}

// TestStore has what a client does with a store of its own making.
func TestStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h := xentest.NewHost()
	s := h.Domain(1).Store
	defer s.Close()
	w, err := s.Watch(ctx, "dir")
	if err != nil {
		t.Fatal(err)
	}
	<-w.C() // the first, without a change
	h.Store.Conflicts = 3
	tries := 0
	err = s.Transaction(ctx, func(tx *xenstore.Tx) error {
		tries++
		return tx.Write(ctx, "dir/a", fmt.Sprint(tries))
	})
	if v, _ := s.Read(ctx, "dir/a"); err != nil || tries != 4 || v != "4" {
		t.Errorf("transaction: %v, %d tries, %q", err, tries, v)
	}
	<-w.C()
	mine := errors.New("mine")
	if err := s.Transaction(ctx, func(tx *xenstore.Tx) error { tx.Write(ctx, "dir/b", "x"); return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	if _, err := s.Read(ctx, "dir/b"); !errors.Is(err, xenstore.ErrNotExist) {
		t.Error("aborted transaction:", err)
	}
	// More children than one answer holds.
	set := map[string]string{}
	var want []string
	for i := range 900 {
		name := fmt.Sprintf("child-%04d", i)
		set["/many/"+name] = "x"
		want = append(want, name)
	}
	h.Store.Set(set)
	if got, err := s.Directory(ctx, "/many"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d children, %v", len(got), err)
	}
	// Nobody reads from w: the client works on.
	for range 100 {
		if err := s.Write(ctx, "dir/a", "y"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
}
