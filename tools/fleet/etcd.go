package fleet

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd is a store in etcd, of version 3.4 or later. It has two keys below its prefix:
//
//	vtpm/UUID   a row, 57 bytes, without a lease: it stays until somebody changes it
//	heard/HOST  empty, with a lease: that the host made a claim lately
//
// Nothing that changes a row looks at the second. A row is changed in a transaction that
// compares it with the one that the decision was made on; of two that compare with the
// same one etcd lets one through.
type Etcd struct {
	kv     clientv3.KV
	leases leaser
	prefix string
	lease  int64 // seconds
}

// A leaser is what a store needs of [clientv3.Lease].
type leaser interface {
	Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error)
}

// DefaultPrefix is where the command stubtpm-fleet has its keys.
const DefaultPrefix = "/stubtpm/fleet/"

// rounds bounds how often a call decides since the row had changed meanwhile.
const rounds = 8

// NewEtcd returns a store in the cluster of a client, with its keys below a prefix. A
// host is heard for the time of lease (whole seconds, at least one) after each claim.
func NewEtcd(c *clientv3.Client, prefix string, lease time.Duration) *Etcd {
	return &Etcd{kv: c.KV, leases: c.Lease, prefix: prefix, lease: max(1, int64(lease/time.Second))}
}

func (s *Etcd) rowKey(vtpm UUID) string { return s.prefix + "vtpm/" + vtpm.String() }
func (s *Etcd) heardKey(h Host) string  { return s.prefix + "heard/" + h.String() }

// A version is a row as etcd has it, and when it was written: what a transaction compares.
type version struct {
	row      Row
	revision int64 // 0 if there is no row
}

func read(r *clientv3.GetResponse) (v version, err error) {
	switch len(r.Kvs) {
	case 0:
		return version{}, nil
	case 1:
		v.row, err = parseRow(r.Kvs[0].Value)
		v.revision = r.Kvs[0].ModRevision
		return v, err
	}
	return version{}, errRow
}

// failed tells apart the errors of which it is known that nothing was written, which
// are those of reads, and others.
func failed(write bool, err error) error {
	if write {
		return errors.Join(ErrUnknown, err)
	}
	return fmt.Errorf("fleet: the store did not answer; nothing was changed: %w", err)
}

// A decision looks at what is there, and returns the row that shall be, or an error. A
// row that equals the one that is there is not written.
type decision func(v version) (Row, error)

// change carries out a decision: it reads the row, decides, and writes if the row is still
// the same; otherwise it decides again, about what is there then.
func (s *Etcd) change(ctx context.Context, vtpm UUID, decide decision) (Row, error) {
	key := s.rowKey(vtpm)
	got, err := s.kv.Get(ctx, key)
	if err != nil {
		return Row{}, failed(false, err)
	}
	v, err := read(got)
	if err != nil {
		return Row{}, err
	}
	for range rounds {
		want, err := decide(v)
		if err != nil || v.revision != 0 && want == v.row {
			return want, err
		}
		r, err := s.kv.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", v.revision)).
			Then(clientv3.OpPut(key, string(want.encode()))).
			Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return Row{}, failed(true, err)
		}
		if r.Succeeded {
			return want, nil
		}
		if len(r.Responses) != 1 || r.Responses[0].GetResponseRange() == nil {
			return Row{}, errRow
		}
		if v, err = read((*clientv3.GetResponse)(r.Responses[0].GetResponseRange())); err != nil {
			return Row{}, err
		}
	}
	return v.row, ErrBusy
}

// Claim implements [Store]. That the host is there is written first, and is no part of
// the decision.
func (s *Etcd) Claim(ctx context.Context, vtpm UUID, h Host, approver ed25519.PublicKey) (Row, error) {
	if err := checkClaim(h, approver); err != nil {
		return Row{}, err
	}
	lease, err := s.leases.Grant(ctx, s.lease)
	if err != nil {
		return Row{}, failed(false, err)
	}
	if _, err := s.kv.Put(ctx, s.heardKey(h), "", clientv3.WithLease(lease.ID)); err != nil {
		return Row{}, failed(false, err)
	}
	return s.change(ctx, vtpm, func(v version) (Row, error) {
		switch {
		case v.revision == 0:
			return Row{Owner: h, Approver: [32]byte(approver)}, nil
		case v.row.Owner != h:
			return v.row, ErrOwned
		}
		return Row{Owner: h, Epoch: v.row.Epoch, Approver: [32]byte(approver)}, nil
	})
}

// HandOver implements [Store].
func (s *Etcd) HandOver(ctx context.Context, vtpm UUID, from Host, at Epoch, to Host) (Row, error) {
	if err := checkHandOver(from, at, to); err != nil {
		return Row{}, err
	}
	return s.change(ctx, vtpm, func(v version) (Row, error) {
		next := v.row.handedOver(at, to)
		switch {
		case v.revision == 0:
			return Row{}, ErrNoRow
		case v.row == next, v.row.Owner == from && v.row.Epoch == at:
			return next, nil
		}
		return v.row, ErrMoved
	})
}

// Look implements [Store].
func (s *Etcd) Look(ctx context.Context, vtpm UUID) (Row, error) {
	got, err := s.kv.Get(ctx, s.rowKey(vtpm))
	if err != nil {
		return Row{}, failed(false, err)
	}
	v, err := read(got)
	if err != nil {
		return Row{}, err
	}
	if v.revision == 0 {
		return Row{}, ErrNoRow
	}
	heard, err := s.kv.Get(ctx, s.heardKey(v.row.Owner), clientv3.WithCountOnly())
	if err != nil {
		return Row{}, failed(false, err)
	}
	v.row.Heard = heard.Count > 0
	return v.row, nil
}

// Fence implements [Store]. It asks for the approver's word only: that the owner is silent
// is neither needed nor enough.
func (s *Etcd) Fence(ctx context.Context, vtpm UUID, w Word) (Row, error) {
	return s.change(ctx, vtpm, func(v version) (Row, error) {
		if v.revision == 0 {
			return Row{}, ErrNoRow
		}
		if err := w.check(vtpm, v.row.Approver); err != nil {
			return v.row, err
		}
		next := Row{Owner: w.To, Epoch: Epoch{Restored: w.Restored}, Approver: v.row.Approver}
		if v.row == next || v.row.Owner == w.From && v.row.Epoch == w.At {
			return next, nil
		}
		return v.row, ErrMoved
	})
}
