package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"stubtpm/vtpmmgr/proto"
)

// An auditFile is an exported log. Raw is what is hashed and signed; the other fields of
// an entry are for readers, and audit-log verify ignores them.
type auditFile struct {
	Manager   string       `json:"manager"`
	Log       string       `json:"log,omitempty"` // manager, if empty, or tenants
	Key       string       `json:"audit_key"`
	Nonce     string       `json:"nonce"`     // drawn for this export
	Signed    int64        `json:"signed_at"` // seconds since 1970, by the manager's clock
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

// audit returns the log, verified with the audit key of the manager's Greeting.
func (m *mgrRun) audit() (*auditFile, error) {
	log, err := auditLogOf(m.o.log)
	if err != nil {
		return nil, fmt.Errorf("%w: --log: %w", errUsage, err)
	}
	g, err := m.c.Hello()
	if err != nil {
		return nil, err
	}
	h, entries, err := m.c.Audit(log, m.o.first)
	if err != nil {
		return nil, err
	}
	f := &auditFile{Manager: hex.EncodeToString(h.Manager[:]), Log: log.String(), Key: hex.EncodeToString(g.Audit[:]), Nonce: hex.EncodeToString(h.Nonce[:]),
		Signed: h.Time, Next: h.Next,
		Hash: hex.EncodeToString(h.Hash[:]), Signature: hex.EncodeToString(h.Signature[:]), Entries: []auditEntry{}}
	for _, b := range entries {
		v, err := viewEntry(b)
		if err != nil {
			return nil, err
		}
		f.Entries = append(f.Entries, v)
	}
	if len(entries) == 0 && m.o.first >= h.Next {
		return f, nil // no entries in the requested range
	}
	return f, proto.VerifyAudit(g.Audit[:], &h, entries)
}

// auditLogOf returns the log of a name; the manager's if it is empty.
func auditLogOf(name string) (proto.AuditLog, error) {
	for _, l := range []proto.AuditLog{proto.ManagerLog, proto.TenantLog} {
		if name == l.String() || name == "" {
			return l, nil
		}
	}
	return 0, fmt.Errorf("want manager or tenants, not %q", name)
}

func auditShow(m *mgrRun) error {
	f, err := m.audit()
	if err != nil {
		return err
	}
	return m.print(f, func() { m.auditTable(f.Entries) })
}

func auditExport(m *mgrRun) error {
	f, err := m.audit()
	if err != nil {
		return err
	}
	if len(f.Entries) == 0 {
		return fmt.Errorf("no entry %d yet: the next will be %d", m.o.first, f.Next)
	}
	if m.o.output == "" {
		return m.writeJSON(f)
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(m.o.output, append(b, '\n'))
}

func (m *mgrRun) auditTable(entries []auditEntry) {
	var rows [][]any
	for _, e := range entries {
		rows = append(rows, []any{e.Number, e.Time, e.Event, e.UUID, e.Detail})
	}
	m.table("NUMBER\tTIME\tEVENT\tUUID\tDETAIL", rows, "%d\t%s\t%s\t%s\t%s")
}

// An auditView is the result of audit-log verify in JSON.
type auditView struct {
	Manager  string `json:"manager"`
	Log      string `json:"log"`
	First    uint64 `json:"first"`
	Next     uint64 `json:"next"`
	Signed   string `json:"signed_at"` // when its end was signed, by the manager's clock
	KeyGiven bool   `json:"key_given"`
}

func auditVerify(m *mgrRun) error {
	var view auditView
	var last [][]byte // entries of the previous file
	for i, name := range m.args {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		key, entries, h, err := readAudit(b)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", proto.ErrAudit, name, err)
		}
		if m.o.auditKey != "" {
			if key, err = hex32("audit-key", m.o.auditKey); err != nil {
				return err
			}
		}
		if err := proto.VerifyAudit(key[:], h, entries); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		manager, first := hex.EncodeToString(h.Manager[:]), h.Next-uint64(len(entries))
		if i == 0 {
			view = auditView{Manager: manager, Log: h.Log.String(), First: first, KeyGiven: m.o.auditKey != ""}
		} else if err := checkFollows(view, last, manager, h.Log, first, entries); err != nil {
			return fmt.Errorf("%w: %s: %w", proto.ErrAudit, name, err)
		}
		view.Next, last = h.Next, entries
		view.Signed = time.Unix(h.Time, 0).UTC().Format(time.RFC3339)
	}
	return m.print(view, func() {
		fmt.Fprintf(m.out, "entries %d to %d of the log %q of manager %s are complete, and were the last at %s\n", view.First, view.Next-1, view.Log, view.Manager, view.Signed)
		if !view.KeyGiven {
			fmt.Fprintf(m.out, "verified with the key in the file only: use --audit-key to verify that the manager signed it\n")
		}
	})
}

// checkFollows returns an error unless a log continues where the previous one ended.
// Precondition: each log was verified by itself.
func checkFollows(v auditView, last [][]byte, manager string, log proto.AuditLog, first uint64, entries [][]byte) error {
	next := first + uint64(len(entries))
	switch start := v.Next - uint64(len(last)); {
	case manager != v.Manager:
		return fmt.Errorf("it belongs to manager %s", manager)
	case log.String() != v.Log:
		return fmt.Errorf("it is of the log %q", log)
	case first > v.Next:
		return fmt.Errorf("entries %d to %d before it are missing", v.Next, first-1)
	case next < v.Next || first < start:
		return fmt.Errorf("it is older than the previous file")
	case first < v.Next:
		// An equal entry means equal entries before it: they are chained.
		if !bytes.Equal(entries[v.Next-1-first], last[len(last)-1]) {
			return fmt.Errorf("its entry %d differs from that of the previous file", v.Next-1)
		}
		return nil
	}
	if len(entries) == 0 || len(last) == 0 {
		return nil
	}
	if e, err := proto.ParseAuditEntry(entries[0]); err != nil || e.Previous != sha256.Sum256(last[len(last)-1]) {
		return fmt.Errorf("its entry %d does not follow the last one of the previous file", first)
	}
	return nil
}

// readAudit decodes an exported log. It verifies nothing.
func readAudit(b []byte) (key [32]byte, entries [][]byte, h *proto.AuditHead, err error) {
	var f auditFile
	if err := json.Unmarshal(b, &f); err != nil {
		return key, nil, nil, err
	}
	h = &proto.AuditHead{Next: f.Next, Time: f.Signed}
	if h.Log, err = auditLogOf(f.Log); err != nil {
		return key, nil, nil, err
	}
	for _, x := range []struct {
		name, text string
		to         []byte
	}{{"manager", f.Manager, h.Manager[:]}, {"nonce", f.Nonce, h.Nonce[:]}, {"hash", f.Hash, h.Hash[:]}, {"signature", f.Signature, h.Signature[:]}, {"audit_key", f.Key, key[:]}} {
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
		return key, nil, nil, fmt.Errorf("%d entries, want at most %d", len(entries), h.Next)
	}
	return key, entries, h, nil
}
