package transfer

import "fmt"

// A Reason is why a message was not taken. It is an error, and a byte of a refusal.
type Reason uint8

// Reasons.
const (
	Malformed     Reason = 1  // the message cannot be decoded
	WrongKind     Reason = 2  // a message of another kind
	WrongVersion  Reason = 3  // of another version
	WrongVTPM     Reason = 4  // about another vTPM
	WrongSource   Reason = 5  // not from, or not for, this source
	WrongTarget   Reason = 6  // not for, or not from, this target
	SameManager   Reason = 7  // source and target are one
	NotLive       Reason = 8  // the vTPM is not at the source
	NotFrozen     Reason = 9  // no suspended state of the vTPM is committed
	NonceUsed     Reason = 10 // the offer does not answer the request of now
	Unattested    Reason = 11 // the peer's evidence does not show who made this message
	OtherPeer     Reason = 12 // the evidence is of another manager than the message names
	Unapproved    Reason = 13 // not signed by the approver of the vTPM's group
	NotAllowed    Reason = 14 // the owner's rules do not allow the target
	AlreadySent   Reason = 15 // the vTPM was sent away by another offer
	UnknownMove   Reason = 16 // the target has no such offer, or forgot it
	Undecryptable Reason = 17 // the record is not sealed for this offer
	KeyWithheld   Reason = 18 // the hardware TPM does not give the key out in the state that it is in
	WrongRecord   Reason = 19 // the record is malformed or of another vTPM
	NotTaken      Reason = 20 // the target's own rules do not allow the vTPM
	LiveHere      Reason = 21 // the vTPM is at the target already
	BeingReceived Reason = 22 // the target has received it and waits for the release
	BeingSent     Reason = 23 // the target itself is sending it away
	Withdrawn     Reason = 24 // the target was asked to refuse its offer
	ReceiptGiven  Reason = 25 // too late to refuse
	NotSent       Reason = 26 // an answer about a move that the source does not have
	OtherHandover Reason = 27 // an answer or release about other bytes than were sent or received
	OtherOffer    Reason = 28 // an answer or release about another offer
	AlreadyGone   Reason = 29 // a refusal after the receipt
	NotReceived   Reason = 30 // a release of a move that the target does not have
	reasonsEnd    Reason = 31
)

func (r Reason) Error() string {
	names := [...]string{"", "malformed message", "message of another kind", "message of another version", "message about another vTPM",
		"message of another source", "message of another target", "source and target are the same manager",
		"the vTPM is not live at this manager", "the vTPM is not frozen", "offer does not answer the present request",
		"evidence does not show who made the message", "evidence is of another manager", "not signed by the approver of the vTPM's group",
		"the owner's rules do not allow the target", "the vTPM was sent away by another offer", "the target has no such offer",
		"record is not sealed for this offer", "the hardware TPM does not give out the key of the offer", "record is malformed or of another vTPM",
		"the target's rules do not allow the vTPM", "the vTPM is live at the target", "the target has received the vTPM and waits for the release",
		"the target is sending the vTPM away", "the target was asked to refuse its offer", "the target has given a receipt",
		"answer about a move that was not sent", "message about another handover", "message about another offer",
		"the vTPM is gone since a receipt", "release of a vTPM that was not received"}
	if int(r) < len(names) && r != 0 {
		return "transfer: " + names[r]
	}
	return fmt.Sprintf("transfer: reason %d", uint8(r))
}

// because wraps the error of a part.
func (r Reason) because(err error) error { return fmt.Errorf("%w: %w", r, err) }
