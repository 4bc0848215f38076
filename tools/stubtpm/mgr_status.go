package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stubtpm/vtpmmgr/proto"
)

// A statusView is a manager's status in JSON.
type statusView struct {
	Manager     string `json:"manager"`
	Epoch       uint64 `json:"epoch"`  // of the ledger: 1, or the counter at the last restore of an old disk
	Ledger      uint64 `json:"ledger"` // commits
	Guard       string `json:"guard"`  // rollback protection mode
	VTPMs       uint64 `json:"vtpms"`  // enrolled
	Connected   uint64 `json:"connected"`
	Created     uint64 `json:"guests_created"`  // guests whose TPM has the PCRs of their start
	Measured    uint64 `json:"guests_measured"` // of them, those whose start was measured
	Groups      uint64 `json:"groups"`
	Room        uint64 `json:"room"`          // items that can be added to the ledger
	Damaged     uint64 `json:"damaged"`       // damaged items
	Audit       uint64 `json:"audit"`         // number of the next entry of the manager's audit log
	Tenants     uint64 `json:"audit_tenants"` // and of the tenants'
	XSM         string `json:"xsm"`
	TPM         string `json:"tpm"`         // ok, or the error
	Anchor      string `json:"anchor"`      // ledger's anchor in the hardware TPM: ok, or the error
	Disk        string `json:"disk"`        // manager's disk: ok, or the error
	OldNV       string `json:"old_indices"` // removal of NV indices from before a move: ok, or the error
	Counter     uint64 `json:"counter"`
	Wear        string `json:"wear"`           // hardware TPM's NV memory: ok, or the error
	NVWrites    uint64 `json:"nv_writes"`      // total
	NVDay       uint64 `json:"nv_writes_day"`  // yesterday, or today if it is more
	NVBudget    string `json:"nv_budget"`      // writes per day, and how many are left now; empty without a budget
	NVYears     string `json:"nv_years_left"`  // at this rate
	Rollback    string `json:"rollback"`       // what a loss of power could roll back now
	Identity    string `json:"identity"`       // host's certificate: its issuer and end, none, or what is wrong
	Certified   uint64 `json:"certified"`      // vTPMs that have certificates
	Revoked     uint64 `json:"revoked"`        // vTPMs whose certificates were revoked
	Sent        uint64 `json:"moves_sent"`     // vTPMs that were sent away, without an answer
	Received    uint64 `json:"moves_received"` // that wait for the source's release
	Gone        uint64 `json:"moves_gone"`
	Offered     uint64 `json:"moves_offered"` // open offers
	MovesSince  string `json:"moves_since"`   // when the oldest one was sent or received; empty for none
	Recovery    string `json:"recovery_key"`
	AuditKey    string `json:"audit_key"`
	AdminKey    string `json:"admin_key"`
	AdminNumber uint64 `json:"admin_number"` // how often the key was replaced

	// Refused counts refusals since the manager's start, by their status.
	Refused map[string]uint64 `json:"refused"`
}

// statusOf converts a manager's status lines. Unknown and missing lines are no error, so
// that managers of other versions can be asked.
func statusOf(s map[string]string, g *proto.Greeting) *statusView {
	number := func(name string) uint64 { n, _ := strconv.ParseUint(s[name], 10, 64); return n }
	v := &statusView{Manager: s["manager"], Epoch: number("epoch"), Ledger: number("ledger"), Guard: s["guard"], VTPMs: number("vtpms"),
		Connected: number("connected"), Created: number("guests-created"), Measured: number("guests-measured"), Groups: number("groups"), Room: number("room"), Damaged: number("damaged"), Audit: number("audit"), Tenants: number("audit-tenants"), AdminNumber: number("admin-number"),
		XSM: s["xsm"], TPM: s["tpm"], Anchor: s["anchor"], Wear: s["wear"], NVWrites: number("nv-writes"), NVDay: number("nv-writes-day"), NVBudget: s["nv-budget"],
		NVYears: s["nv-years-left"], Rollback: s["rollback"], Disk: s["disk"], OldNV: s["old-indices"], Counter: g.Counter,
		Identity: s["identity"], Certified: number("certified"), Revoked: number("revoked"),
		Sent: number("moves-sent"), Received: number("moves-received"), Gone: number("moves-gone"), Offered: number("moves-offered"), MovesSince: s["moves-since"],
		Recovery: hex.EncodeToString(g.Recovery[:]), AuditKey: hex.EncodeToString(g.Audit[:]), AdminKey: hex.EncodeToString(g.Admin[:]), Refused: map[string]uint64{}}
	for name := range s {
		if code, ok := strings.CutPrefix(name, "refused-"); ok {
			v.Refused[code] = number(name)
		}
	}
	return v
}

func status(m *mgrRun) error {
	s, err := m.c.Status()
	if err != nil {
		return err
	}
	g, err := m.c.Hello()
	if err != nil {
		return err
	}
	v := statusOf(s, &g)
	err = m.print(v, func() { m.statusTable(v) })
	if err == nil && m.o.check && (v.TPM != "ok" || v.Anchor != "ok" || v.Disk != "ok" || v.Damaged != 0 || v.Wear != "" && v.Wear != "ok" || v.OldNV != "" && v.OldNV != "ok" || strings.HasPrefix(v.Identity, "degraded")) {
		err = fmt.Errorf("%w: hardware TPM: %s; anchor: %s; disk: %s; damaged items: %d; wear of its NV memory: %s; old NV indices: %s; host's certificate: %s", errDegraded, v.TPM, v.Anchor, v.Disk, v.Damaged, v.Wear, v.OldNV, v.Identity)
	}
	return err
}

// moves is what the table shows of moves between hosts.
func (v *statusView) moves() string {
	s := fmt.Sprintf("%d sent, %d received, %d gone, %d offers", v.Sent, v.Received, v.Gone, v.Offered)
	if v.MovesSince != "" {
		s += "; the oldest hangs since " + v.MovesSince
	}
	return s
}

func (m *mgrRun) statusTable(v *statusView) {
	rows := [][]any{
		{"Hardware TPM", v.TPM}, {"Ledger's anchor", v.Anchor}, {"NV memory", v.Wear}, {"Old NV indices", v.OldNV},
		{"NV writes", fmt.Sprintf("%d, %d a day: %s years left", v.NVWrites, v.NVDay, v.NVYears)}, {"NV budget", v.NVBudget}, {"Could be rolled back", v.Rollback}, {"Disk", v.Disk}, {"Guard", v.Guard}, {"Counter", v.Counter},
		{"vTPMs", fmt.Sprintf("%d, %d connected", v.VTPMs, v.Connected)},
		{"Guests", fmt.Sprintf("%d with the PCRs of their start, %d of them measured", v.Created, v.Measured)}, {"Groups", v.Groups},
		{"Ledger", fmt.Sprintf("commit %d, epoch %d", v.Ledger, v.Epoch)},
		{"Room", fmt.Sprintf("%d items", v.Room)}, {"Damaged", fmt.Sprintf("%d items", v.Damaged)},
		{"Audit logs", fmt.Sprintf("%d entries so far, tenants %d", v.Audit, v.Tenants)}, {"XSM", v.XSM},
		{"Host's certificate", v.Identity}, {"Certified vTPMs", fmt.Sprintf("%d, %d revoked", v.Certified, v.Revoked)},
		{"Moves", v.moves()},
		{"Recovery key", v.Recovery}, {"Audit key", v.AuditKey}, {"Administrator", fmt.Sprintf("%s, number %d", v.AdminKey, v.AdminNumber)},
	}
	var codes []uint64
	for name := range v.Refused {
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			codes = append(codes, n)
		}
	}
	slices.Sort(codes)
	for _, n := range codes {
		why := strings.TrimPrefix(proto.Code(n).Error(), "vtpmmgr: ")
		rows = append(rows, []any{"Refused", fmt.Sprintf("%d: %s", v.Refused[strconv.FormatUint(n, 10)], why)})
	}
	m.table("Manager\t"+v.Manager, rows, "%v\t%v")
}
