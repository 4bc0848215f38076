package vtpmmgr

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

// The audit log keeps so many entries, and on a small disk no more than a share
// of it: who wants all of them exports them in time.
const (
	auditMost  = 2048
	auditShare = 4
	auditLeast = 8
)

// An entry of the audit log is committed with what it tells, and with the
// configuration, which has the log's end.

func (c *config) auditItem(number uint64) ledger.ID {
	return itemID(kindAudit, binary.BigEndian.AppendUint64(nil, number%uint64(c.ring)))
}

// entry makes the next entry, and the configuration with it.
func (c config) entry(u UUID, event, detail string) (config, []byte) {
	e := proto.AuditEntry{Number: c.next, Time: time.Now().Unix(), Previous: c.hash, UUID: u,
		Event: event, Detail: strings.ToValidUTF8(detail[:min(len(detail), 2*proto.MaxName)], "")}
	b := e.Append(nil)
	c.next, c.hash = c.next+1, sha256.Sum256(b)
	return c, b
}

func auditBody(entry []byte) []byte { return append([]byte{kindAudit, itemVersion}, entry...) }

// auditLog reads the entries from number first on that are still there, as many
// as fit into an answer, after the log's signed end.
func (m *Manager) auditLog(first uint64, nonce [32]byte) []byte {
	m.mu.Lock()
	c := m.config
	m.mu.Unlock()
	h := proto.AuditHead{Manager: m.id, Nonce: nonce, Time: time.Now().Unix(), Next: c.next, Hash: c.hash}
	h.Signature = [64]byte(ed25519.Sign(m.keys.audit, h.SignedHead()))
	b := h.Append(nil)
	if c.next > uint64(c.ring) {
		first = max(first, c.next-uint64(c.ring))
	}
	for n := first; n < c.next; n++ {
		body, err := m.store.Get(c.auditItem(n))
		if err != nil || len(body) < 2 || body[0] != kindAudit || body[1] != itemVersion {
			continue // damaged: the chain shows the gap
		}
		entry := body[2:]
		if e, err := proto.ParseAuditEntry(entry); err != nil || e.Number != n {
			continue
		}
		if len(b)+2+len(entry) > proto.MaxSize-proto.HeaderSize {
			break
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(entry)))
		b = append(b, entry...)
	}
	return b
}
