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

// An entry of an audit log is committed with what it tells, and with the
// configuration, which has the logs' ends.

func (c *config) auditItem(log proto.AuditLog, number uint64) ledger.ID {
	name := binary.BigEndian.AppendUint64(nil, number%uint64(c.audit[log].ring))
	if log != proto.ManagerLog {
		name = append(name, byte(log))
	}
	return itemID(kindAudit, name)
}

// entry makes the next entry of a log, and the configuration with it.
func (c config) entry(log proto.AuditLog, u UUID, event, detail string) (config, ledger.Change) {
	end := &c.audit[log]
	item := c.auditItem(log, end.next)
	e := proto.AuditEntry{Number: end.next, Time: time.Now().Unix(), Previous: end.hash, UUID: u,
		Event: event, Detail: strings.ToValidUTF8(detail[:min(len(detail), 2*proto.MaxName)], "")}
	b := e.Append(nil)
	end.next, end.hash = end.next+1, sha256.Sum256(b)
	return c, ledger.Change{ID: item, Body: append([]byte{kindAudit, itemVersion}, b...)}
}

// auditLog reads the entries of a log from number first on that are still there, as many
// as fit into an answer, after the log's signed end.
func (m *Manager) auditLog(log proto.AuditLog, first uint64, nonce [32]byte) []byte {
	m.mu.Lock()
	c := m.config
	m.mu.Unlock()
	end := c.audit[log]
	h := proto.AuditHead{Log: log, Manager: m.id, Nonce: nonce, Time: time.Now().Unix(), Next: end.next, Hash: end.hash}
	h.Signature = [64]byte(ed25519.Sign(m.keys.audit, h.SignedHead()))
	b := h.Append(nil)
	if end.next > uint64(end.ring) {
		first = max(first, end.next-uint64(end.ring))
	}
	for n := first; n < end.next; n++ {
		body, err := m.store.Get(c.auditItem(log, n))
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
