package main

import (
	"errors"

	"stubtpm/vtpmmgr/proto"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// version is this program's version. Its swtpm options and channels are those of swtpm
// 0.7.
const version = "0.1.0"

// Exit codes of `stubtpm mgr`, besides exitOK, exitFail and exitUsage.
const (
	exitRefused  = 3 // the manager refused; the reason is printed
	exitNoReach  = 4 // no manager, or it does not answer
	exitForged   = 5 // an audit log failed verification
	exitDegraded = 6 // status --check: the manager serves but has a fault
	exitUndone   = 7 // a step of a move failed at the manager, which does not say that it was not done before
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
		{exitUndone, "a step of a move failed at the manager, such as by its TPM: it may have been done"},
	}
}

var (
	errUsage    = errors.New("wrong usage")
	errDegraded = errors.New("the manager is degraded") // status --check
	errUndone   = errors.New("the step failed")
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
	case errors.Is(err, errUndone):
		return exitUndone
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
