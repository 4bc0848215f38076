package xenstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"stubtpm/drivers/xen/xentest"
)

// TestManyRequests makes more requests at once than may be under way: all are
// answered, none is refused.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	host := xentest.NewHost()
	host.Store.Set(map[string]string{"/local/domain/5/name": "vtpmmgr"})
	store := host.Domain(5).Store
	defer store.Close()
	var wait sync.WaitGroup
	for range 2000 {
		wait.Go(func() {
			if v, err := store.Read(ctx, "name"); err != nil || v != "vtpmmgr" {
				t.Errorf("%q, %v", v, err)
			}
		})
	}
	wait.Wait()
}
