package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// Exit codes of `stubtpm mgr`, besides exitOK, exitFail and exitUsage.
const (
	exitRefused  = 3 // the manager's answer was a refusal; its text is printed
	exitNoReach  = 4 // there is no manager, or it does not answer
	exitForged   = 5 // what was to be verified is not what it claims to be
	exitDegraded = 6 // of status -check: the manager serves, and something is wrong
)

type exitCode struct {
	code    int
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "done"}, {exitFail, "failed, in domain 0: a file, a key"}, {exitUsage, "wrong usage"},
		{exitRefused, "the manager refused; its reason is printed"},
		{exitNoReach, "there is no manager, or it does not answer"},
		{exitForged, "an audit log is not what its manager signed"},
		{exitDegraded, "status --check: the manager serves, and is degraded"},
	}
}

var (
	// errUsage says that an argument is wrong.
	errUsage = errors.New("wrong usage")
	// errDegraded is of status -check.
	errDegraded = errors.New("the manager is degraded")
)

// errReach says that a manager was not reached.
type errReach struct{ error }

func (e errReach) Unwrap() error { return e.error }

// exitOf returns the exit code of an error.
func exitOf(err error) int {
	var code proto.Code
	var reached errReach
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

// A failure is an error as JSON tells it.
type failure struct {
	Order  string `json:"order"`
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Status uint32 `json:"status,omitempty"` // of the manager's answer
	Exit   int    `json:"exit"`
}

// report prints an error, and returns its exit code.
func (m *mgrRun) report(o *order, err error) int {
	if err == nil {
		return exitOK
	}
	f := failure{Order: o.name, Error: err.Error(), Exit: exitOf(err)}
	var code proto.Code
	if errors.As(err, &code) {
		f.Status, f.Hint = uint32(code), hints()[code]
	}
	if m.o.json {
		json.NewEncoder(m.stderr).Encode(f)
		return f.Exit
	}
	fmt.Fprintf(m.stderr, "stubtpm mgr %s: %v\n", o.name, err)
	if f.Hint != "" {
		fmt.Fprintf(m.stderr, "(%s)\n", f.Hint)
	}
	return f.Exit
}

// hints say what to do about a manager's refusal.
func hints() map[proto.Code]string {
	return map[proto.Code]string{
		proto.BadMessage:   "a field is out of range; or stubtpm and the manager are of different versions",
		proto.BadOrdinal:   "stubtpm and the manager are of different versions",
		proto.NotEnrolled:  "`stubtpm mgr list` shows what is enrolled; what was destroyed comes back only from escrow",
		proto.Busy:         "shut its domain down first",
		proto.Failed:       "`stubtpm mgr status` and the manager's console say more; it may have taken effect: look, then ask again",
		proto.Exists:       "amend changes what is there",
		proto.NotConnected: "it was never started: there is no state to keep",
		proto.Unsigned:     "--key names the key; a group that has an approver obeys that key, and not the administrator's",
		proto.NoGroup:      "`stubtpm mgr group list` shows the groups; `group import` brings one out of escrow",
		proto.BadBackup:    "a backup fits the manager and the enrollment that it was made of, or one that has its group from escrow",
		proto.Damaged:      "destroy it; then enroll anew, or restore it from escrow",
		proto.Full:         "destroy what is not needed; a larger disk means another manager",
		proto.OverQuota:    "destroy what is not needed, or have the administrator raise it (group quota)",
		proto.BadApproval:  "sign with the operator's key that was given at init; without one there, nothing can be approved",
	}
}
