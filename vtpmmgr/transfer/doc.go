// Package transfer is the protocol by which one vTPM moves from a manager, the source, to
// another one, the target, over couriers that need not be trusted: docs/moves.md, "Between
// managers". It has the messages and what each manager does with them. It has no ledger, no
// hardware TPM and no network of its own: see [Parts]. The manager has those.
//
//	Source                               Target
//	Request            -> request  ->    Offer: OFFERED, a key that its hardware TPM holds
//	(the approver)     <- offer    <-
//	Move: LIVE to SENT -> handover ->    Receive: OFFERED to RECEIVED or REFUSED
//	Answer             <- receipt or refusal
//	  SENT to GONE     -> release  ->    Release: RECEIVED to LIVE
//	  SENT to LIVE, after a refusal
//
// Each message may be lost, doubled, delayed, reordered and replayed. A manager stores what
// it became before the message that says so leaves, gives the same message again when asked
// again, and goes back for no reason but the other's signed refusal: never for a time-out.
package transfer
