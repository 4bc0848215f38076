package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// A failure is an error in JSON.
type failure struct {
	Order  string `json:"order"`
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status uint32 `json:"status,omitempty"` // status code of the manager's response
	Exit   int    `json:"exit"`
}

// report prints an error, and returns its exit code.
func (m *mgrRun) report(o *order, err error) int {
	if err == nil {
		return exitOK
	}
	f := failure{Order: o.name, Error: visibleLines(err.Error()), Exit: exitOf(err)}
	var code proto.Code
	if errors.As(err, &code) {
		f.Status, f.Hint = uint32(code), hints()[code]
	}
	if m.o.json {
		json.NewEncoder(m.stderr).Encode(f)
		return f.Exit
	}
	fmt.Fprintf(m.stderr, "stubtpm mgr %s: %s\n", o.name, f.Error)
	if f.Hint != "" {
		fmt.Fprintf(m.stderr, "(%s)\n", f.Hint)
	}
	return f.Exit
}

// hints returns what to do about a manager's refusal.
func hints() map[proto.Code]string {
	return map[proto.Code]string{
		proto.BadMessage:       "a field is out of range, or stubtpm and the manager have different versions",
		proto.BadOrdinal:       "stubtpm and the manager have different versions",
		proto.NotEnrolled:      "`stubtpm mgr list` shows the enrolled vTPMs; a destroyed one can be restored only from escrow",
		proto.Busy:             "shut its domain down first",
		proto.Failed:           "see `stubtpm mgr status` and the manager's console; the order may have taken effect: check before repeating it",
		proto.Exists:           "use amend to change it",
		proto.NotConnected:     "the vTPM was never started, so it has no state",
		proto.Unsigned:         "choose the key with --key; orders about a group with an approver must be signed by the approver, not the administrator",
		proto.NoGroup:          "`stubtpm mgr group list` shows the groups; `group import` adds one from escrow",
		proto.BadBackup:        "a backup can be restored by the manager and for the enrollment that it was made of, or by a manager that imported its group from escrow",
		proto.Damaged:          "destroy it, then enroll it again or restore it from escrow",
		proto.Full:             "destroy vTPMs that are not needed; a larger disk needs a new manager",
		proto.OverQuota:        "destroy vTPMs that are not needed, or have the administrator raise the quota (group quota)",
		proto.BadApproval:      "sign with the operator's key that was given at init; without one, nothing can be approved",
		proto.NoIdentity:       "begin with identity request",
		proto.StartNotMeasured: "start it by a program that measures it, or amend --starts attested",
		proto.WrongProgram:     "add it with amend --start-images, or start what the record lists; the manager's console shows the hash",
		proto.Moving:           "`stubtpm mgr move list` shows where it is, and what to do",
		proto.MoveRefused:      "docs/moves.md, \"Refusals\" and \"A move that hangs\"; `stubtpm mgr move list` shows what to do",
		proto.BadCertificate:   "begin with identity request; new keys, as after an update that changes PCRs, need a new certificate, and each certificate must be followed by its issuer's",
	}
}
