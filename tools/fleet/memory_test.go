package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A memory is what a store needs of etcd, in this process. Some requests are lost, some answers
// are, and some requests take effect after their caller has given up. Leases never end.
type memory struct {
	clientv3.KV
	mu       sync.Mutex
	r        *rand.Rand
	revision int64
	keys     map[string]*mvccpb.KeyValue
	late     sync.WaitGroup
}

func newMemory() *memory {
	return &memory{r: rand.New(rand.NewPCG(14, 2)), keys: map[string]*mvccpb.KeyValue{}}
}

var errLost = errors.New("no answer")

// carry has a request take effect, or not, and returns whether its answer arrives.
func (m *memory) carry(do func()) error {
	m.mu.Lock()
	fate, pause := m.r.IntN(12), time.Duration(m.r.IntN(1000))*time.Microsecond
	m.mu.Unlock()
	time.Sleep(pause)
	locked := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		do()
	}
	switch fate {
	case 0:
		return errLost
	case 1:
		m.late.Go(func() { time.Sleep(20 * pause); locked() })
		return errLost
	case 2:
		locked()
		return errLost
	}
	locked()
	return nil
}

func (m *memory) get(key string) *pb.RangeResponse {
	r := &pb.RangeResponse{}
	if kv := m.keys[key]; kv != nil {
		r.Kvs, r.Count = append(r.Kvs, &mvccpb.KeyValue{Value: kv.Value, ModRevision: kv.ModRevision}), 1
	}
	return r
}

func (m *memory) put(key, value string) {
	m.revision++
	m.keys[key] = &mvccpb.KeyValue{Value: []byte(value), ModRevision: m.revision}
}

func (m *memory) Get(_ context.Context, key string, _ ...clientv3.OpOption) (r *clientv3.GetResponse, err error) {
	var got *pb.RangeResponse
	if err := m.carry(func() { got = m.get(key) }); err != nil {
		return nil, err
	}
	return (*clientv3.GetResponse)(got), nil
}

func (m *memory) Put(_ context.Context, key, value string, _ ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	return &clientv3.PutResponse{}, m.carry(func() { m.put(key, value) })
}

func (m *memory) Grant(context.Context, int64) (*clientv3.LeaseGrantResponse, error) {
	return &clientv3.LeaseGrantResponse{ID: 1}, nil
}

func (m *memory) Txn(context.Context) clientv3.Txn { return &memoryTxn{m: m} }

type memoryTxn struct {
	m     *memory
	cmps  []clientv3.Cmp
	then  []clientv3.Op
	other []clientv3.Op
}

func (t *memoryTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.cmps = c; return t }
func (t *memoryTxn) Then(o ...clientv3.Op) clientv3.Txn { t.then = o; return t }
func (t *memoryTxn) Else(o ...clientv3.Op) clientv3.Txn { t.other = o; return t }

func (t *memoryTxn) Commit() (*clientv3.TxnResponse, error) {
	r := &pb.TxnResponse{}
	err := t.m.carry(func() {
		r.Succeeded = true
		for _, c := range t.cmps {
			now := int64(0)
			if kv := t.m.keys[string(c.KeyBytes())]; kv != nil {
				now = kv.ModRevision
			}
			want := c.GetCompare().GetModRevision()
			r.Succeeded = r.Succeeded && now == want
		}
		ops := t.other
		if r.Succeeded {
			ops = t.then
		}
		for _, o := range ops {
			if o.IsPut() {
				t.m.put(string(o.KeyBytes()), string(o.ValueBytes()))
				r.Responses = append(r.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}})
				continue
			}
			r.Responses = append(r.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: t.m.get(string(o.KeyBytes()))}})
		}
	})
	if err != nil {
		return nil, err
	}
	return (*clientv3.TxnResponse)(r), nil
}

// TestWithoutEtcd: six clients work on a store that loses what it is asked and what it answers, or
// does it later: an order of the calls explains the answers, and no epoch has two owners. A
// store that writes without comparing is found.
func TestWithoutEtcd(t *testing.T) {
	t.Parallel()
	for _, compares := range []bool{true, false} {
		m := newMemory()
		var kv clientv3.KV = m
		if !compares {
			kv = blind{m}
		}
		s := &Etcd{kv: kv, leases: m, prefix: DefaultPrefix, lease: 1}
		r := (*cluster)(nil).run(t, time.Second, time.Millisecond, func(int) Store { return s })
		m.late.Wait()
		done, err := r.done(), r.check()
		t.Logf("compares %v: %d calls, %v succeeded, %d unknown, %d failed; %.100v", compares, len(r.history), done, r.unknown, r.failed, err)
		if compares != (err == nil) {
			t.Errorf("compares %v: %v", compares, err)
		}
		for _, name := range []string{"claim", "hand-over", "look", "fence"} {
			if done[name] < 5 {
				t.Errorf("only %d calls of %s succeeded: the test shows nothing", done[name], name)
			}
		}
	}
}
