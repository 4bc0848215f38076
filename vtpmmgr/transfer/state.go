package transfer

// A Phase is what a vTPM is to one manager.
type Phase uint8

// Phases.
const (
	None     Phase = iota // it was never here
	Live                  // it is here: the one phase in which it may be loaded and may commit
	Sent                  // it was sent away, and there is no answer
	Gone                  // it was sent away, and the target has given a receipt
	Received              // it was received, and the source has not released it
	phasesEnd
)

func (p Phase) String() string {
	return [...]string{"none", "live", "sent", "gone", "received"}[min(p, phasesEnd-1)]
}

// A State is what a manager keeps of the moves of one vTPM. Its zero value is that of a
// vTPM that was never there.
type State struct {
	Phase Phase

	// Last and Handover, the hash of a handover, are of the move that led to the phase.
	// Last is nil in None, and in Live of a vTPM that was not moved here last.
	Last     *Terms
	Handover Hash

	Body   []byte  // of Sent: the handover without evidence, to be given again
	Record *Record // of Received: secret
	Offer  *Offered
}

// An Offered is the last offer that a manager has made. An earlier one is refused.
type Offered struct {
	Terms
	Key     []byte // private part of Terms.Key, sealed by the hardware TPM; empty once refused
	Refused Reason // zero while the offer is open
}

const (
	stateVersion = 1
	maxKey       = 1024 // bytes of a sealed private key
)

// Append appends the state to b. It has the secrets of Record: the manager wraps them.
func (s *State) Append(b []byte) []byte {
	b = appendFlag(append(b, stateVersion, byte(s.Phase)), s.Last != nil)
	if s.Last != nil {
		b = append(s.Last.append(b), s.Handover[:]...)
	}
	b = appendSized(b, s.Body)
	var record []byte
	if s.Record != nil {
		record = s.Record.Append(nil)
	}
	b = appendFlag(appendSized(b, record), s.Offer != nil)
	if s.Offer != nil {
		b = append(s.Offer.append(b), byte(s.Offer.Refused))
		b = appendSized(b, s.Offer.Key)
	}
	return b
}

// ParseState decodes a state. Its error is a [Reason].
func ParseState(b []byte) (*State, error) {
	r := reader{b: b}
	if r.u8() != stateVersion {
		return nil, WrongVersion
	}
	s := &State{Phase: Phase(r.u8())}
	if r.flag() {
		t, err := r.terms()
		if err != nil {
			return nil, Malformed
		}
		s.Last, s.Handover = &t, r.hash()
	}
	s.Body = r.sized(maxSealed + 512)
	if record := r.sized(maxSealed); record != nil {
		var err error
		if s.Record, err = ParseRecord(record); err != nil {
			return nil, Malformed
		}
	}
	if r.flag() {
		t, err := r.terms()
		if err != nil {
			return nil, Malformed
		}
		s.Offer = &Offered{Terms: t, Refused: Reason(r.u8()), Key: r.sized(maxKey)}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return s, s.check()
}

// check returns nil if the fields fit the phase.
func (s *State) check() error {
	moved := s.Phase == Sent || s.Phase == Gone || s.Phase == Received
	switch {
	case s.Phase >= phasesEnd,
		moved && s.Last == nil, s.Phase == None && s.Last != nil,
		(s.Body != nil) != (s.Phase == Sent),
		(s.Record != nil) != (s.Phase == Received),
		s.Record != nil && s.Record.VTPM != s.Last.VTPM,
		s.Offer != nil && (s.Offer.Refused >= reasonsEnd || (s.Offer.Refused != 0) != (s.Offer.Key == nil)):
		return Malformed
	}
	if s.Phase != Sent {
		return nil
	}
	h, err := s.handover()
	if err != nil || h.Terms != *s.Last || h.Hash() != s.Handover {
		return Malformed
	}
	return nil
}

// handover decodes Body.
func (s *State) handover() (*Handover, error) {
	r := reader{b: s.Body}
	h, err := r.handover()
	if err != nil {
		return nil, err
	}
	return h, r.end()
}
