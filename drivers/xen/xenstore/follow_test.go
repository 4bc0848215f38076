package xenstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"stubtpm/drivers/xen/xenstore"
	"stubtpm/drivers/xen/xentest"
)

// TestFollow: it looks at once, after a change, and after the time that was asked for; and it
// ends with the error of the look, of the context, or of the connection.
func TestFollow(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := xentest.NewHost()
	store := host.Domain(5).Store
	defer store.Close()
	looks, done := 0, errors.New("done")
	err := store.Follow(ctx, "data/x", func() (time.Duration, error) {
		looks++
		switch v, _ := store.Read(ctx, "data/x"); {
		case v == "second":
			return 0, done
		case v == "first":
			host.Store.Set(map[string]string{"/local/domain/5/data/x/below": "1", "/local/domain/5/data/x": "second"})
			return 0, nil
		case looks > 3:
			host.Store.Set(map[string]string{"/local/domain/5/data/x": "first"})
			return 0, nil
		}
		return time.Millisecond, nil
	})
	if !errors.Is(err, done) || looks < 4 {
		t.Errorf("%d looks, %v", looks, err)
	}
	looking, stop := context.WithCancel(ctx)
	if err := store.Follow(looking, "data/x", func() (time.Duration, error) { stop(); return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
	err = store.Follow(ctx, "data/x", func() (time.Duration, error) { store.Close(); return 0, nil })
	if !errors.Is(err, xenstore.ErrClosed) {
		t.Errorf("a connection that ended: %v", err)
	}
	if err := store.Follow(ctx, "data/x", func() (time.Duration, error) { t.Error("it looks"); return 0, done }); !errors.Is(err, xenstore.ErrClosed) {
		t.Errorf("no connection: %v", err)
	}
}
