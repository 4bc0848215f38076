package vtpmmgr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"stubtpm/vtpmmgr/ledger"
)

// A serial is the serial number of a certificate (package cert), and until when the
// certificate is valid, in seconds since 1970.
type serial struct {
	number [16]byte
	until  uint32
}

// certified is what the manager keeps of the certificates of one vTPM.
type certified struct {
	uuid  UUID
	basis [32]byte // hash of what the newest certificates claim, and of the host's

	// keys are the endorsement keys that the newest certificates are of, and serials
	// those of the certificates, in the same order.
	keys    [][32]byte // SHA-256 of the SubjectPublicKeyInfo
	serials []serial

	older []serial // of earlier certificates that have not ended, the newest first
}

// Layout of the item: kind, version, uuid, basis, then keys with their serials and older
// serials, each after a count of 1.
const (
	certifiedVersion = 1
	certifiedUUID    = 2
	certifiedBasis   = certifiedUUID + 16
	certifiedCounts  = certifiedBasis + 32
	serialSize       = 16 + 4
	maxCertified     = 4 // keys
	maxOlder         = (ledger.MaxBody - certifiedCounts - 2 - maxCertified*(32+serialSize)) / serialSize
)

func certifiedItem(u UUID) ledger.ID { return itemID(kindCertified, u[:]) }

func (s *serial) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, s.number[:]...), s.until)
}

// date is the day on which the certificate ends.
func (s *serial) date() string {
	return time.Unix(int64(s.until), 0).UTC().Format(time.DateOnly)
}

func readSerial(b []byte) serial { return serial{[16]byte(b), binary.BigEndian.Uint32(b[16:])} }

func (c *certified) change() ledger.Change {
	b := append([]byte{kindCertified, certifiedVersion}, c.uuid[:]...)
	b = append(b, c.basis[:]...)
	b = append(b, byte(len(c.keys)))
	for i := range c.keys {
		b = c.serials[i].append(append(b, c.keys[i][:]...))
	}
	b = append(b, byte(len(c.older)))
	for _, s := range c.older {
		b = s.append(b)
	}
	return ledger.Change{ID: certifiedItem(c.uuid), Body: b}
}

func decodeCertified(b []byte) (*certified, error) {
	if len(b) < certifiedCounts+2 || b[0] != kindCertified || b[1] != certifiedVersion {
		return nil, errItem
	}
	c := &certified{uuid: UUID(b[certifiedUUID:]), basis: [32]byte(b[certifiedBasis:])}
	n, b := int(b[certifiedCounts]), b[certifiedCounts+1:]
	if n > maxCertified || len(b) < n*(32+serialSize)+1 {
		return nil, errItem
	}
	for range n {
		c.keys, c.serials = append(c.keys, [32]byte(b)), append(c.serials, readSerial(b[32:]))
		b = b[32+serialSize:]
	}
	n, b = int(b[0]), b[1:]
	if n > maxOlder || len(b) != n*serialSize {
		return nil, errItem
	}
	for ; len(b) > 0; b = b[serialSize:] {
		c.older = append(c.older, readSerial(b))
	}
	return c, nil
}

// all returns the serials that have not ended, the newest first.
func (c *certified) all(now time.Time) []serial {
	if c == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Concat(c.serials, c.older), func(s serial) bool { return int64(s.until) < now.Unix() })
}

// A revoked is one entry of the manager's revocation list.
type revoked struct {
	serial
	at uint32 // seconds since 1970
}

// Revocations are kept in pages, each of them twice. Those whose certificate has ended
// are dropped whenever others come.
const (
	revokedVersion = 1
	revokedHead    = 4 // kind, version, number of the page, number of pages
	revokedSize    = serialSize + 4
	revokedOnPage  = (ledger.MaxBody - revokedHead) / revokedSize
	maxRevoked     = 64 * revokedOnPage
)

func revokedItems(page int) [2]ledger.ID { return twice(kindRevoked, []byte{byte(page)}) }

// A revocations is the list, oldest first, and its pages as they are in the ledger.
type revocations struct {
	list  []revoked
	pages [][]byte
}

// with returns the list with more, and what has to change in the ledger for it. It
// reports false if there is no room.
func (r revocations) with(more []serial, now time.Time) (revocations, []ledger.Change, bool) {
	if len(more) == 0 {
		return r, nil, true
	}
	next := revocations{list: slices.DeleteFunc(slices.Clone(r.list), func(e revoked) bool { return int64(e.until) < now.Unix() })}
	for _, s := range more {
		next.list = append(next.list, revoked{s, uint32(now.Unix())})
	}
	if len(next.list) > maxRevoked {
		return r, nil, false
	}
	n := (len(next.list) + revokedOnPage - 1) / revokedOnPage
	var changes []ledger.Change
	for i := range max(n, len(r.pages)) {
		if i >= n {
			changes = append(changes, twiceChanges(revokedItems(i), nil)...)
			continue
		}
		b := []byte{kindRevoked, revokedVersion, byte(i), byte(n)}
		for _, e := range next.list[i*revokedOnPage : min(len(next.list), (i+1)*revokedOnPage)] {
			b = binary.BigEndian.AppendUint32(e.append(b), e.at)
		}
		next.pages = append(next.pages, b)
		if i >= len(r.pages) || !bytes.Equal(b, r.pages[i]) {
			changes = append(changes, twiceChanges(revokedItems(i), b)...)
		}
	}
	return next, changes, true
}

// readRevocations reads the pages. It returns what there is with an error where a page
// cannot be read.
func readRevocations(get func(ledger.ID) ([]byte, error)) (r revocations, err error) {
	pages := 1
	for i := 0; i < pages; i++ {
		b, getErr := readTwice(get, revokedItems(i), func(b []byte) ([]byte, error) { return b, nil })
		if i == 0 && errors.Is(getErr, ledger.ErrNotFound) {
			return revocations{}, nil
		}
		entries, n, pageErr := decodeRevoked(b, i)
		switch {
		case getErr != nil:
			err = getErr
		case pageErr != nil:
			err = pageErr
		case i == 0:
			pages = n
		}
		r.pages, r.list = append(r.pages, b), append(r.list, entries...)
	}
	return r, err
}

func decodeRevoked(b []byte, page int) (list []revoked, pages int, err error) {
	if len(b) < revokedHead || b[0] != kindRevoked || b[1] != revokedVersion || int(b[2]) != page || (len(b)-revokedHead)%revokedSize != 0 {
		return nil, 0, errItem
	}
	pages = int(b[3])
	if page >= pages || pages > maxRevoked/revokedOnPage {
		return nil, 0, errItem
	}
	for b = b[revokedHead:]; len(b) > 0; b = b[revokedSize:] {
		list = append(list, revoked{readSerial(b), binary.BigEndian.Uint32(b[serialSize:])})
	}
	return list, pages, nil
}
