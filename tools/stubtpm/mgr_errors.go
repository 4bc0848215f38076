package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// Exit codes of `stubtpm mgr`, besides exitOK, exitFail and exitUsage.
const (
	exitRefused  = 3 // the manager refused; the reason is printed
	exitNoReach  = 4 // no manager, or it does not answer
	exitForged   = 5 // an audit log failed verification
	exitDegraded = 6 // status --check: the manager serves but has a fault
)

type exitCode struct {
	code    int
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "success"}, {exitFail, "failure in dom0, such as of a file or a key"}, {exitUsage, "wrong usage"},
		{exitRefused, "the manager refused; the reason is printed"},
		{exitNoReach, "no manager, or it does not answer"},
		{exitForged, "an audit log is not what its manager signed"},
		{exitDegraded, "status --check: the manager serves but is degraded"},
	}
}

var (
	errUsage    = errors.New("wrong usage")
	errDegraded = errors.New("the manager is degraded") // status --check
)

// A reachError means that the manager could not be reached.
type reachError struct{ error }

func (e reachError) Unwrap() error { return e.error }

// exitOf returns the exit code of an error.
func exitOf(err error) int {
	var code proto.Code
	var reached reachError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.As(err, &code):
		return exitRefused
	case errors.As(err, &reached):
		return exitNoReach
	case errors.Is(err, proto.ErrAudit):
		return exitForged
	case errors.Is(err, errDegraded):
		return exitDegraded
	}
	return exitFail
}

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
		proto.BadMessage:   "a field is out of range, or stubtpm and the manager have different versions",
		proto.BadOrdinal:   "stubtpm and the manager have different versions",
		proto.NotEnrolled:  "`stubtpm mgr list` shows the enrolled vTPMs; a destroyed one can be restored only from escrow",
		proto.Busy:         "shut its domain down first",
		proto.Failed:       "see `stubtpm mgr status` and the manager's console; the order may have taken effect: check before repeating it",
		proto.Exists:       "use amend to change it",
		proto.NotConnected: "the vTPM was never started, so it has no state",
		proto.Unsigned:     "choose the key with --key; orders about a group with an approver must be signed by the approver, not the administrator",
		proto.NoGroup:      "`stubtpm mgr group list` shows the groups; `group import` adds one from escrow",
		proto.BadBackup:    "a backup can be restored by the manager and for the enrollment that it was made of, or by a manager that imported its group from escrow",
		proto.Damaged:      "destroy it, then enroll it again or restore it from escrow",
		proto.Full:         "destroy vTPMs that are not needed; a larger disk needs a new manager",
		proto.OverQuota:    "destroy vTPMs that are not needed, or have the administrator raise the quota (group quota)",
		proto.BadApproval:  "sign with the operator's key that was given at init; without one, nothing can be approved",
	}
}
