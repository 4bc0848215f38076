package movehost

import (
	"bytes"
	"errors"
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// Messages of the managers (docs/moves.md, "Bytes"): the first byte, and where the terms are.
const (
	messageRequest  = 1
	messageOffer    = 2
	messageHandover = 4
	messageReceipt  = 5
	messageRefusal  = 6
	messageRelease  = 7

	termsSize  = 162
	handoverAt = 2
)

// errOther means that the other host gave a message about something else. `stubtpm mgr` takes a
// message for the vTPM that it names, whichever that is.
var errOther = errors.New("movehost: the other host's message is not about this move")

// kindOf returns the first byte of a message, 0 for none.
func kindOf(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// mine returns an error if a message is not about the vTPM of a UUID.
func mine(b []byte, id string) error {
	at := map[byte]int{messageRequest: 18, messageOffer: 34, messageHandover: handoverAt + 34, messageReceipt: 35, messageRefusal: 35, messageRelease: 35}[kindOf(b)]
	u, err := proto.ParseUUID(id)
	if err != nil {
		return err
	}
	if at == 0 || len(b) < at+len(u) || !bytes.Equal(b[at:][:len(u)], u[:]) {
		return fmt.Errorf("%w: kind %d, want one about the vTPM %s", errOther, kindOf(b), id)
	}
	return nil
}

// answersRequest reports whether an offer is for a request: the same source, vTPM and nonce.
func answersRequest(offer, request []byte) bool {
	return kindOf(offer) == messageOffer && len(offer) >= termsSize && bytes.Equal(requestOf(offer), request)
}

// requestOf returns the request that an offer, of at least its terms, answers.
func requestOf(offer []byte) []byte {
	b := append([]byte{messageRequest, 1}, offer[18:50]...)
	return append(b, offer[66:98]...)
}

// sameTerms reports whether two offers are one.
func sameTerms(a, b []byte) bool {
	return len(a) >= termsSize && len(b) >= termsSize && bytes.Equal(a[:termsSize], b[:termsSize])
}

// answersOffer reports whether a handover is by an offer.
func answersOffer(handover, offer []byte) bool {
	return kindOf(handover) == messageHandover && len(handover) >= handoverAt && sameTerms(handover[handoverAt:], offer)
}
