// Package xen is the board of a Xen PVH domain of 64-bit x86. A program only has
// to import it; Events, Grants, StoreRing and MapMMIO return what the domain
// shares with others.
//
//	console   Xen's console ring; before it is mapped, I/O port 0xe9 (xl dmesg)
//	exit      0 powers off, any other code is a crash (on_crash of xl.cfg)
//	clock     vcpu_time_info, with Xen's wall clock at start
//	timer     VIRQ_TIMER by the set_timer_op hypercall, one-shot
//	random    RDRAND, mixed with what Seed is given
//	events    by callback vector 32, which needs no interrupt controller
//
// Frames that Xen or other domains share are mapped into a window of addresses
// without memory: see window.go.
//
// # Timeline
//
//	early     by pvh's boot, without a runtime, on the boot page tables. Detects Xen, maps the shared info page
//	memory    by pvh's boot, if Xen passed no memory map: asks Xen for one
//	hwinit0   by the runtime, before its heap: nothing is left to do (board/pvh)
//	hwinit1   by the runtime's first init, with heap and scheduler, before other packages' variables. Console, timer, interrupts on
//	init      package variables are initialized. Events and grants; the goroutine that delivers events
//	main      everything works
package xen
