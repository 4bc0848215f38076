package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"stubtpm/vtpmmgr/proto"
)

// An auditFile is an exported log. Raw is what is hashed and signed; the rest
// of an entry is for readers, and is not looked at by audit-verify.
type auditFile struct {
	Manager   string       `json:"manager"`
	Key       string       `json:"audit_key"`
	Next      uint64       `json:"next"`
	Hash      string       `json:"hash"`
	Signature string       `json:"signature"`
	Entries   []auditEntry `json:"entries"`
}

type auditEntry struct {
	Number uint64 `json:"number"`
	Time   string `json:"time"`
	UUID   string `json:"uuid,omitempty"`
	Event  string `json:"event"`
	Detail string `json:"detail,omitempty"`
	Raw    string `json:"raw"`
}

func viewEntry(b []byte) (auditEntry, error) {
	e, err := proto.ParseAuditEntry(b)
	if err != nil {
		return auditEntry{}, err
	}
	v := auditEntry{Number: e.Number, Time: time.Unix(e.Time, 0).UTC().Format(time.RFC3339), Event: e.Event, Detail: e.Detail, Raw: hex.EncodeToString(b)}
	if e.UUID != (proto.UUID{}) {
		v.UUID = e.UUID.String()
	}
	return v, nil
}

func audit(m *mgrRun) error {
	g, err := m.c.Hello()
	if err != nil {
		return err
	}
	h, entries, err := m.c.Audit(m.o.first)
	if err != nil {
		return err
	}
	f := auditFile{Manager: hex.EncodeToString(h.Manager[:]), Key: hex.EncodeToString(g.Audit[:]), Next: h.Next,
		Hash: hex.EncodeToString(h.Hash[:]), Signature: hex.EncodeToString(h.Signature[:]), Entries: []auditEntry{}}
	for _, b := range entries {
		v, err := viewEntry(b)
		if err != nil {
			return err
		}
		f.Entries = append(f.Entries, v)
	}
	if m.o.output != "" {
		b, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			return err
		}
		return writeNew(m.o.output, append(b, '\n'))
	}
	err = m.print(f, func() { m.auditTable(f.Entries) })
	if err == nil {
		err = proto.VerifyAudit(g.Audit[:], &h, entries)
	}
	return err
}

func (m *mgrRun) auditTable(entries []auditEntry) {
	var rows [][]any
	for _, e := range entries {
		rows = append(rows, []any{e.Number, e.Time, e.Event, e.UUID, e.Detail})
	}
	m.table("NUMBER\tTIME\tEVENT\tUUID\tDETAIL", rows, "%d\t%s\t%s\t%s\t%s")
}

func auditVerify(m *mgrRun) error {
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	key, entries, h, err := readAudit(b)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", proto.ErrAudit, m.args[0], err)
	}
	trusted := m.o.auditKey != ""
	if trusted {
		if key, err = hex32("audit-key", m.o.auditKey); err != nil {
			return err
		}
	}
	if err := proto.VerifyAudit(key[:], h, entries); err != nil {
		return err
	}
	first := h.Next - uint64(len(entries))
	return m.print(map[string]any{"manager": hex.EncodeToString(h.Manager[:]), "first": first, "next": h.Next, "key_given": trusted}, func() {
		fmt.Fprintf(m.out, "entries %d to %d of manager %x are whole\n", first, h.Next-1, h.Manager)
		if !trusted {
			fmt.Fprintf(m.out, "by the key that is in the file: give the manager's with -audit-key to know that it is the manager's\n")
		}
	})
}

// readAudit takes a log apart, of which nothing is trusted.
func readAudit(b []byte) (key [32]byte, entries [][]byte, h *proto.AuditHead, err error) {
	var f auditFile
	if err := json.Unmarshal(b, &f); err != nil {
		return key, nil, nil, err
	}
	h = &proto.AuditHead{Next: f.Next}
	for _, x := range []struct {
		name, text string
		to         []byte
	}{{"manager", f.Manager, h.Manager[:]}, {"hash", f.Hash, h.Hash[:]}, {"signature", f.Signature, h.Signature[:]}, {"audit_key", f.Key, key[:]}} {
		v, err := hex.DecodeString(x.text)
		if err != nil || len(v) != len(x.to) {
			return key, nil, nil, fmt.Errorf("%s is not %d bytes in hexadecimal", x.name, len(x.to))
		}
		copy(x.to, v)
	}
	for _, e := range f.Entries {
		raw, err := hex.DecodeString(e.Raw)
		if err != nil {
			return key, nil, nil, fmt.Errorf("entry %d: %w", e.Number, err)
		}
		entries = append(entries, raw)
	}
	if uint64(len(entries)) > h.Next {
		return key, nil, nil, fmt.Errorf("%d entries of %d", len(entries), h.Next)
	}
	return key, entries, h, nil
}
