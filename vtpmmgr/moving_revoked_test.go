package vtpmmgr

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// TestTransferRevoked: a vTPM that was sent away can leave once there is a receipt, although
// others are destroyed until the list of revocations is full, and another move does not begin
// that could not end.
func TestTransferRevoked(t *testing.T) {
	t.Parallel()
	w := newTransferWorld(t, ledger.Mode{Daily: 54})
	ek := primary(t, hardwareTPM(t), tpm2.ECCEKTemplate)
	other := UUID{7}
	w.enroll(other)
	w.a.certificates(other, primary(t, hardwareTPM(t), tpm2.ECCEKTemplate))
	w.freeze(w.a, other, 5)
	w.a.certificates(w.u, ek)
	w.freeze(w.a, w.u, 5)
	w.upTo('a')
	w.a.m.mu.Lock()
	list := make([]revoked, maxRevoked-1)
	for i := range list {
		list[i] = revoked{group: uint32(i % 100), serials: serials{count: 1, until: uint32(time.Now().Add(time.Hour).Unix())}}
	}
	w.a.m.revoked, _ = revocations{}.paged(list) // as if they were in the ledger, which is small
	w.a.m.mu.Unlock()
	second := *w
	second.u = other
	second.steps()[0].do()
	w.must(second.steps()[1].do())
	w.must(second.steps()[2].do())
	if err := second.steps()[3].do(); err == nil {
		t.Error("another one was sent away, and cannot leave")
	}
	if err := w.a.as(testApprover).Destroy(other); !errors.Is(err, proto.Full) {
		t.Errorf("destroyed: %v", err)
	}
	w.must(w.steps()[5].do())
	w.must(w.steps()[6].do())
	if _, err := w.b.loads(w.u); err != nil {
		t.Error(err)
	}
	if n := len(w.a.m.revoked.list); n != maxRevoked || slices.ContainsFunc(w.a.m.revoked.list[:n-1], func(r revoked) bool { return r.count != 1 }) {
		t.Errorf("%d are revoked", n)
	}
}
