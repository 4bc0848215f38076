// Package service is what the two unikernels do: the vTPM of one guest (VTPM), and the
// vTPM manager (Manager). Both are written against an Environment that their board
// provides, so that tests run manager, vTPM, guest and administrator in one process, on
// any system.
//
// A service runs its start in the order of the lines that it logs, then logs "ready",
// reports that in xenstore (Environment.ReportState), and serves its tpmif backend until
// the toolstack asks the domain to stop. A step that fails is returned as an error: the
// domain ends as crashed and serves nothing.
//
// docs/architecture.md describes the domains, docs/xen-life.md their life.
package service
