package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// auditRing is how many entries of the audit log are kept: who wants all of
// them exports them in time.
const auditRing = 2048

// An audit is the log of orders. An entry is committed with what it tells.
type audit struct {
	next    uint64
	hash    [32]byte
	entries map[uint64][]byte
}

func auditItem(number uint64) ledger.ID {
	return itemID(kindAudit, binary.BigEndian.AppendUint64(nil, number%auditRing))
}

// load takes an entry of the ledger, in any order.
func (a *audit) load(b []byte) error {
	if len(b) < 2 || b[0] != kindAudit || b[1] != itemVersion {
		return errItem
	}
	e, err := proto.ParseAuditEntry(b[2:])
	if err != nil {
		return err
	}
	if a.entries == nil {
		a.entries = map[uint64][]byte{}
	}
	a.entries[e.Number] = b[2:]
	if e.Number >= a.next {
		a.next, a.hash = e.Number+1, sha256.Sum256(b[2:])
	}
	return nil
}

// entry makes the next entry. It counts once it is committed and taken.
func (a *audit) entry(u UUID, event, detail string) (ledger.Change, []byte) {
	e := proto.AuditEntry{Number: a.next, Time: time.Now().Unix(), Previous: a.hash, UUID: u, Event: event, Detail: cut(detail, 2*proto.MaxName)}
	b := e.Append(nil)
	return ledger.Change{ID: auditItem(a.next), Body: append([]byte{kindAudit, itemVersion}, b...)}, b
}

func (a *audit) take(entry []byte) {
	if a.entries == nil {
		a.entries = map[uint64][]byte{}
	}
	a.entries[a.next] = entry
	delete(a.entries, a.next-auditRing)
	a.next, a.hash = a.next+1, sha256.Sum256(entry)
}

// export returns the signed end and entries from first on, as many as fit.
func (a *audit) export(manager [16]byte, key ed25519.PrivateKey, first uint64) []byte {
	h := proto.AuditHead{Manager: manager, Next: a.next, Hash: a.hash}
	h.Signature = [64]byte(ed25519.Sign(key, h.SignedHead()))
	b := h.Append(nil)
	if a.next > auditRing {
		first = max(first, a.next-auditRing)
	}
	for n := first; n < a.next; n++ {
		e, ok := a.entries[n]
		if !ok {
			continue // damaged: the chain shows the gap
		}
		if len(b)+2+len(e) > proto.MaxSize-proto.HeaderSize {
			break
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return b
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
