// Package scenario contains what the lab shows and tests on Xen: the stack of manager,
// vTPM and guest, the demonstration of `make run` (Story), and the attacks and faults of
// `make test`. Each scenario reports to a Report, so that the same code serves as a
// demonstration and as a test.
//
// It runs on Linux on amd64.
package scenario
