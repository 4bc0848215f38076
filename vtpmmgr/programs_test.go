package vtpmmgr

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/ledger"
	"stubtpm/vtpmmgr/proto"
)

var (
	kernelA = proto.Program{Hash: [32]byte{0xA}, Measurer: "a host 1"}
	kernelB = proto.Program{Hash: [32]byte{0xB}, Measurer: "a host 1"}
)

// TestStartsRequired: what a record requires of a start is asked of the order that tells
// of it and of the domain that connects, and again after the record has changed.
func TestStartsRequired(t *testing.T) {
	t.Parallel()
	tpm, disk := hardwareTPM(t), blocktest.NewMem(testDisk)
	m := newTestManager(t, tpm, disk)
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	u := UUID{0xC1}
	e := &proto.Enrollment{UUID: u, Attested: true, Measured: true, Programs: [][32]byte{kernelA.Hash}}
	if err := admin.Enroll(e); err != nil {
		t.Fatal(err)
	}
	vtpm, end := live(t, m, Peer{Domain: 5, UUID: u}, 1)
	order := func(when string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	guest := func(when string, domain uint16, served bool, want error) {
		t.Helper()
		_, err := vtpm.Guest(domain, served)
		order(when, err, want)
	}
	guest("nobody told of it", 9, false, proto.StartNotMeasured)
	order("not measured", host.Created(9, u), proto.StartNotMeasured)
	order("another program", host.CreatedMeasured(9, u, kernelB), proto.WrongProgram)
	guest("refused", 9, false, proto.StartNotMeasured)
	order("listed", host.CreatedMeasured(9, u, kernelA), nil)
	order("the next domain of that number", host.CreatedMeasured(9, u, kernelB), proto.WrongProgram)
	guest("the word about the one before", 9, false, proto.StartNotMeasured)

	order("listed", host.CreatedMeasured(9, u, kernelA), nil)
	e.Programs = [][32]byte{kernelB.Hash}
	order("amend", admin.Amend(e), nil)
	guest("listed no more", 9, false, proto.WrongProgram)
	order("listed now", host.CreatedMeasured(9, u, kernelB), nil)
	guest("listed now", 9, false, nil)
	e.Programs = [][32]byte{kernelA.Hash}
	order("amend", admin.Amend(e), nil)
	guest("amended between question and service", 9, true, proto.WrongProgram)

	order("listed", host.CreatedMeasured(10, u, kernelA), nil)
	guest("listed", 10, false, nil)
	guest("listed", 10, true, nil)
	e.Programs = [][32]byte{kernelB.Hash}
	order("amend", admin.Amend(e), nil)
	guest("it has the TPM already", 10, true, nil)
	guest("a domain that was restored", 11, false, proto.StartNotMeasured)
	guest("a domain that was restored", 11, true, proto.StartNotMeasured)

	end()
	m.Close()
	m, err := Open(Config{TPM: tpm, Disk: disk, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	host = as(t, m, testHost)
	vtpm, _ = live(t, m, Peer{Domain: 5, UUID: u}, 1)
	order("after a start of the manager: another program", host.CreatedMeasured(12, u, kernelA), proto.WrongProgram)
	guest("a vTPM that goes on tells which domain it serves", 10, true, nil)
	guest("another domain", 12, false, proto.StartNotMeasured)
	order("listed", host.CreatedMeasured(12, u, kernelB), nil)
	guest("listed", 12, false, nil)
	if s := m.status(Peer{}); !strings.Contains(s, "refused-23 ") || !strings.Contains(s, "refused-24 1") {
		t.Errorf("status:\n%s", s)
	}
}

// TestProgramsKept: the list of a record goes where the record goes, and with it.
func TestProgramsKept(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	var all [][32]byte
	for i := range proto.MaxPrograms {
		all = append(all, [32]byte{byte(i), 1})
	}
	group, _, err := admin.CreateGroup(&proto.Group{Name: "kept", Escrow: bytes.Repeat([]byte{9}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	u := UUID{0xC2}
	e := &proto.Enrollment{UUID: u, Group: group, Attested: true, Measured: true, Programs: all,
		Name: strings.Repeat("n", proto.MaxName), Profile: strings.Repeat("p", proto.MaxProfile)}
	if err := admin.Enroll(e); err != nil {
		t.Fatal(err)
	}
	_, end := live(t, m, Peer{Domain: 5, UUID: u}, 2)
	end()
	backup, err := admin.Backup(u)
	if err != nil {
		t.Fatal(err)
	}
	item := func(want error) {
		t.Helper()
		if _, err := m.store.Get(programsItem(u)); !errors.Is(err, want) {
			t.Errorf("item of the programs: %v, want %v", err, want)
		}
	}
	item(nil)
	e.Programs, e.Profile = nil, ""
	if err := admin.Amend(e); err != nil {
		t.Fatal(err)
	}
	item(ledger.ErrNotFound)
	// A backup of before does not undo what was ordered since.
	if _, _, err := admin.Restore(backup); err != nil || m.records[u].listed || !m.records[u].measured {
		t.Errorf("restored: %v, %+v", err, m.records[u])
	}
	if err := admin.Destroy(u); err != nil {
		t.Fatal(err)
	}
	_, _, err = admin.Restore(backup)
	if r := m.records[u]; err != nil || len(r.programList()) != len(all) {
		t.Errorf("restored from escrow: %v, %d programs", err, len(r.programList()))
	}
	item(nil)
	if err := admin.Destroy(u); err != nil {
		t.Fatal(err)
	}
	item(ledger.ErrNotFound)
}

// TestProgramsLost: without its list, a record lets no guest start until it has another.
func TestProgramsLost(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin, host := connect(t, m, Peer{}), as(t, m, testHost)
	u := UUID{0xC3}
	e := &proto.Enrollment{UUID: u, Attested: true, Measured: true, Programs: [][32]byte{kernelA.Hash}}
	if err := admin.Enroll(e); err != nil {
		t.Fatal(err)
	}
	if err := m.store.Commit(ledger.Change{ID: programsItem(u)}); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	err := m.read()
	m.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.CreatedMeasured(9, u, kernelA); !errors.Is(err, proto.Damaged) {
		t.Errorf("without the list: %v", err)
	}
	if s, err := admin.Starts(); err != nil || len(s) != 1 || !s[0].Damaged {
		t.Errorf("%+v, %v", s, err)
	}
	if err := errors.Join(admin.Amend(e), host.CreatedMeasured(9, u, kernelA)); err != nil {
		t.Errorf("with another list: %v", err)
	}
}

// TestEnrollmentOfStarts: a requirement that would not be looked at is refused.
func TestEnrollmentOfStarts(t *testing.T) {
	t.Parallel()
	m := newTestManager(t, hardwareTPM(t), blocktest.NewMem(testDisk))
	admin := connect(t, m, Peer{})
	a := [32]byte{1}
	for name, e := range map[string]*proto.Enrollment{
		"measured and plain": {Measured: true}, "zeros": {Attested: true, Measured: true, Programs: [][32]byte{{}}},
		"twice": {Attested: true, Measured: true, Programs: [][32]byte{a, a}}, "too many": {Attested: true, Measured: true, Programs: make([][32]byte, proto.MaxPrograms+1)},
	} {
		if err := admin.Enroll(e); !errors.Is(err, proto.BadMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A record that requires nothing of this is as an older manager reads it.
	if b := (&record{attested: true}).change().Body; b[1] != vtpmVersion || b[recordFlags] != 8 {
		t.Errorf("version %d, flags %d", b[1], b[recordFlags])
	}
	for _, flags := range []byte{32, 64, 8 | 64, 8 | 32 | 128} {
		b := (&record{attested: true, measured: true}).change().Body
		b[recordFlags] = flags
		if _, err := decodeRecord(b); err == nil {
			t.Errorf("flags %d were read", flags)
		}
	}
}
