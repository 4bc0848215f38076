package vtpmmgr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/transfer"
)

// A revoked is one entry of what the manager revoked: all certificates that one vTPM had
// before it was destroyed or restored.
type revoked struct {
	group uint32 // of the vTPM
	serials
	at uint32 // seconds since 1970
}

// Revocations are kept in pages, each of them in two places.
const (
	revokedVersion = 1
	revokedHead    = 4 // kind, version, number of the page, number of pages
	revokedSize    = 4 + serialsSize + 4
	revokedOnPage  = (ledger.MaxBody - revokedHead) / revokedSize
	revokedPages   = 255
	maxRevoked     = revokedPages * revokedOnPage

	// maxRevokedGroup is how many of them the approver of one group can fill.
	maxRevokedGroup = maxRevoked / 8
)

func revokedItems(page int) [2]ledger.ID { return twice(kindRevoked, []byte{byte(page)}) }

// A revocations is the list, oldest first, and its pages as they are in the ledger.
type revocations struct {
	list  []revoked
	pages [][]byte

	reserved int // entries that with keeps free; it is not kept
}

// pagesOf returns how many pages so many entries take.
func pagesOf(entries int) int { return (entries + revokedOnPage - 1) / revokedOnPage }

// with returns the list with one more entry, and what has to change in the ledger for it. It
// reports false if there is no room. Entries whose certificates have all ended are dropped
// only when room is needed: the clock may be wrong.
func (r revocations) with(e revoked, byTenant bool, now time.Time) (revocations, []ledger.Change, bool) {
	list := append(slices.Clone(r.list), e)
	most := maxRevoked - r.reserved
	if len(list) > most {
		list = slices.DeleteFunc(list, func(e revoked) bool { return int64(e.until) < now.Unix() })
	}
	own := 0
	for _, o := range list {
		if o.group == e.group {
			own++
		}
	}
	if len(list) > most || byTenant && own > maxRevokedGroup {
		return r, nil, false
	}
	next, changes := r.paged(list)
	return next, changes, true
}

// paged lays a list out, and returns what differs from the pages of r.
func (r revocations) paged(list []revoked) (revocations, []ledger.Change) {
	next, n := revocations{list: list}, pagesOf(len(list))
	var changes []ledger.Change
	for i := range max(n, len(r.pages)) {
		if i >= n {
			changes = append(changes, twiceChanges(revokedItems(i), nil)...)
			continue
		}
		b := []byte{kindRevoked, revokedVersion, byte(i), byte(n)}
		for _, e := range list[i*revokedOnPage : min(len(list), (i+1)*revokedOnPage)] {
			b = e.append(binary.BigEndian.AppendUint32(b, e.group))
			b = binary.BigEndian.AppendUint32(b, e.at)
		}
		next.pages = append(next.pages, b)
		// The number of pages in the others need not be right: all are looked for.
		if i >= len(r.pages) || !bytes.Equal(b[revokedHead:], r.pages[i][min(revokedHead, len(r.pages[i])):]) {
			changes = append(changes, twiceChanges(revokedItems(i), b)...)
		}
	}
	return next, changes
}

// readRevocations reads the pages. Where one cannot be read it returns the others, and an
// error.
func readRevocations(get func(ledger.ID) ([]byte, error)) (r revocations, err error) {
	for i := range revokedPages {
		b, getErr := readTwice(get, revokedItems(i), func(b []byte) ([]byte, error) { return b, nil })
		if errors.Is(getErr, ledger.ErrNotFound) {
			continue
		}
		entries, pageErr := decodeRevoked(b, i)
		if getErr != nil || pageErr != nil {
			err = errors.Join(getErr, pageErr)
			b, entries = nil, nil
		}
		for len(r.pages) <= i {
			r.pages = append(r.pages, nil)
		}
		r.pages[i], r.list = b, append(r.list, entries...)
	}
	return r, err
}

func decodeRevoked(b []byte, page int) (list []revoked, err error) {
	if len(b) < revokedHead || b[0] != kindRevoked || b[1] != revokedVersion || int(b[2]) != page || page >= int(b[3]) ||
		int(b[3]) > revokedPages || (len(b)-revokedHead)%revokedSize != 0 {
		return nil, errItem
	}
	for b = b[revokedHead:]; len(b) > 0; b = b[revokedSize:] {
		e := revoked{binary.BigEndian.Uint32(b), readSerials(b[4:]), binary.BigEndian.Uint32(b[4+serialsSize:])}
		if e.count > maxSerials {
			return nil, errItem
		}
		list = append(list, e)
	}
	return list, nil
}

// revocationRoom is how many items the revocation of all certificates may still take.
// m.mu is held.
func (m *Manager) revocationRoom() int {
	return 2 * max(0, min(revokedPages, pagesOf(len(m.revoked.list)+len(m.certified)))-len(m.revoked.pages))
}

// revocation returns the changes that revoke all certificates of the order's vTPM, and what
// to do once they are committed. It reports false if there is no room for them.
func (o *order) revocation() (changes []ledger.Change, done func(), room bool) {
	return o.m.revocation(o.uuid, o.record.group, o.byTenant())
}

// revocation is that of a vTPM's certificates, with or without the limit of what a tenant may
// fill of the list. An entry is kept free for each other vTPM that was sent away: it has to be
// revoked once there is a receipt, and can do nothing else.
func (m *Manager) revocation(u UUID, group uint32, byTenant bool) (changes []ledger.Change, done func(), room bool) {
	m.mu.Lock()
	c, list := m.certified[u], m.revoked
	if m.records[u].away != transfer.Sent {
		for o := range m.certified {
			if m.records[o].away == transfer.Sent {
				list.reserved++
			}
		}
	}
	m.mu.Unlock()
	if c == nil {
		return nil, func() {}, true
	}
	now := time.Now()
	next, changes, room := list.with(revoked{group, c.serials, uint32(now.Unix())}, byTenant, now)
	return append(changes, twiceChanges(certifiedItems(u), nil)...), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.certified, u)
		m.revoked = next
	}, room
}
