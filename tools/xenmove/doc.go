// Package xenmove moves a running guest, together with its vTPM, to another host by xl
// migrate. It runs in dom0 of both hosts, at the two ends of a link that need not be
// trusted, such as ssh: what is secret travels in the managers' messages only.
//
// xl's two programs speak with this package's, not with each other. The program at the
// guest's host, a [Source], holds back the message by which xl learns that the copy is
// complete, until the vTPM was handed over; the one at the other host, a [Receiver], holds
// back the permission to run until it is told.
//
//	Source                            Receiver
//	hello                  ->         starts the vTPM's domain, asks for an offer
//	                       <- offer   approved at the source
//	                       <- begin   xl migrate-receive runs
//	data ...               ->         to xl
//	                       <- ready   the copy is complete and paused, the guest has stopped
//	freeze; transfer       ->         the managers' messages, and the vTPM's sealed state
//	                       <- answer  a receipt or a refusal
//	release                ->         the vTPM serves
//	                       <- serves
//	go                     ->         xl has the guest run
//	                       <- done
//
// What is true decides, never a time-out. Until the source's manager has sent the vTPM
// away any failure leaves guest and vTPM at the source. From then on the guest at the
// source stays stopped until the target's manager has given a receipt or a refusal, over
// as many links as that takes; after a receipt the guest runs at the target. A Source that
// was killed is continued by [Source.Finish]. The one failure that parts the two is the
// loss of the copy at the target, such as by a power cut, after the receipt: the guest
// then goes on at the source, its vTPM is at the target, and another move brings the guest
// there ([ErrParted]).
package xenmove
