package vtpmmgr

import (
	"fmt"
	"slices"
	"time"

	"stubtpm/vtpmmgr/proto"
	"stubtpm/vtpmmgr/transfer"
)

func parseTargets(args []byte) (request, error) {
	if len(args) < len(UUID{}) {
		return request{}, proto.BadMessage
	}
	u := UUID(args[:len(UUID{})])
	rules, err := transfer.ParseRules(args[len(u):])
	return request{vtpm: &u, args: rules}, err
}

// setTargets sets the rules of where a vTPM may be moved.
func (o *order) setTargets() (proto.Code, []byte) {
	m := o.m
	before := m.movingOf(o.uuid)
	switch {
	case !o.known:
		return proto.NotEnrolled, nil
	case o.record.away != 0:
		return proto.Moving, nil
	case before.damage != nil:
		return proto.Damaged, nil
	}
	next := before
	if before.parts == 0 {
		next.epoch, next.since, next.state.Phase = m.store.Epoch(), time.Now().Unix(), transfer.Live
	}
	next.rules = *o.args.(*transfer.Rules)
	changes := next.changes(&before)
	if !m.hasRoom(&next, before.parts, 0) {
		return proto.Full, nil
	}
	code := o.change("targets", fmt.Sprintf("%d managers, %d images, %d places, security version %d", len(next.rules.Managers),
		len(next.rules.Images), len(next.rules.Places), next.rules.SecurityVersion), &o.record, changes...)
	if code == proto.OK {
		m.mu.Lock()
		m.keepMoving(&next)
		m.mu.Unlock()
	}
	return code, nil
}

func (o *order) targets() (proto.Code, []byte) {
	if !o.known {
		return proto.NotEnrolled, nil
	}
	v := o.m.movingOf(o.uuid)
	if v.damage != nil {
		return proto.Damaged, nil
	}
	return proto.OK, v.rules.Append(nil)
}

// transfers lists what is not live, or has an offer.
func (o *order) transfers() (proto.Code, []byte) {
	m := o.m
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []proto.Transfer
	for u, v := range m.moving {
		r, known := m.records[u]
		if known && !o.sees(r.group) || !known && !o.seesAll() {
			continue
		}
		if t := v.transfer(&r); t.Damaged || t.Phase != uint8(transfer.None) && t.Phase != uint8(transfer.Live) || t.Offer != 0 {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b proto.Transfer) int { return slices.Compare(a.UUID[:], b.UUID[:]) })
	return proto.OK, part(o.args.(uint32), len(list), func(b []byte, i int) []byte { return list[i].Append(b) })
}

// seesAll reports whether the administrator asks: what is of no group is his to see.
func (o *order) seesAll() bool { return o.by&administrator != 0 }

// transfer is what a list shows.
func (v *moving) transfer(r *record) proto.Transfer {
	t := proto.Transfer{UUID: v.uuid, Group: r.group, Phase: uint8(v.state.Phase), Damaged: v.damage != nil, Since: uint64(v.since)}
	if v.damage != nil {
		t.Phase = uint8(r.away)
	}
	if l := v.state.Last; l != nil {
		t.Move, t.Peer = l.Move, l.Target
		if v.state.Phase == transfer.Received {
			t.Peer = l.Source
		}
	}
	if o := v.state.Offer; o != nil {
		t.Offer, t.Reason, t.Source, t.Offered = 1, uint8(o.Refused), o.Terms.Source, uint64(v.offered)
		if o.Refused != 0 {
			t.Offer = 2
		}
	}
	return t
}

// movingStatus appends the lines of STATUS about moves. m.mu is held.
func (m *Manager) movingStatus(b []byte) []byte {
	count := map[transfer.Phase]int{}
	oldest, offers, damaged := int64(0), 0, 0
	for _, v := range m.moving {
		count[v.state.Phase]++
		if v.state.Offer != nil && v.state.Offer.Refused == 0 {
			offers++
		}
		if v.damage != nil {
			damaged++
		}
		if p := v.state.Phase; (p == transfer.Sent || p == transfer.Received) && (oldest == 0 || v.since < oldest) {
			oldest = v.since
		}
	}
	b = fmt.Appendf(b, "moves-sent %d\nmoves-received %d\nmoves-gone %d\nmoves-offered %d\nmoves-damaged %d\n",
		count[transfer.Sent], count[transfer.Received], count[transfer.Gone], offers, damaged)
	if oldest != 0 {
		b = fmt.Appendf(b, "moves-since %s\n", time.Unix(oldest, 0).UTC().Format(time.RFC3339))
	}
	return b
}
