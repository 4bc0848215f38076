//go:build tamago

// Boardtest is a unikernel that tests board/xen and the drivers on it, in a
// domain of a real Xen. It prints a line for each test, PASS or FAIL; it powers
// off if all passed, and otherwise ends as a crash.
//
// Kernel parameters, on the command line:
//
//	idle=30s       sleep for that long at the end, to measure processor time
//	tis            read the hardware TPM's registers (iomem=["fed40,5"])
//	serve          instead of the tests: be the peer of the domain created before
//	peer           also test grants and events with the domain created next
//	only=NAME      run the tests whose name contains NAME, _ for a space
//	repeat=N       run the tests N times
//	scenario=NAME  instead of the tests: exit0, exit7, panic, nil, deadlock, flood
package main
