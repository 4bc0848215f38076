package eventlog

import (
	"bytes"
	"fmt"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Replay returns the values that the PCRs of a bank have after the log's events, of
// those PCRs that an event extends. PCR 0 starts with the locality that an event
// StartupLocality states, and with 4 if the first event to extend it is an H-CRTM
// (EVEFIHCRTMEvent; Part 1, "H-CRTM Event Sequence"). All others start with zeros, as
// do PCRs 17 to 22 after a dynamic launch.
//
// Replay returns ErrLog if the log does not have the bank or package tpmcrypto not
// its algorithm; for a second StartupLocality or one that follows an event that
// extends PCR 0, or that states another locality than 0, 3 or 4; and for an H-CRTM
// that is not the first to extend PCR 0, or after a StartupLocality other than 4.
func (l *Log) Replay(bank tcg.TPMAlgID) (map[uint32][]byte, error) {
	if l.digestSize(bank) == 0 || !tpmcrypto.HasHash(bank) {
		return nil, fmt.Errorf("%w: no bank %#04x", ErrLog, uint16(bank))
	}
	r := replay{bank: bank, values: map[uint32][]byte{}, locality: -1}
	for i, e := range l.Events {
		if err := l.check(e); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		if err := r.event(e); err != nil {
			return nil, fmt.Errorf("event %d, %v: %w", i, e.Type, err)
		}
	}
	return r.values, nil
}

// A replay is the state of one bank.
type replay struct {
	bank     tcg.TPMAlgID
	values   map[uint32][]byte // of the PCRs that were extended
	locality int               // stated by StartupLocality, -1 before that
}

func (r *replay) event(e Event) error {
	if e.Type == EVNoAction {
		if rest, ok := bytes.CutPrefix(e.Data, []byte(startupLocality)); ok {
			return r.startup(e.PCR, rest)
		}
		return nil
	}
	value := r.values[e.PCR]
	if e.Type == EVEFIHCRTMEvent {
		if e.PCR != 0 || value != nil || r.locality >= 0 && r.locality != 4 {
			return fmt.Errorf("%w: an H-CRTM must be the first to extend PCR 0, at locality 4", ErrLog)
		}
		r.locality = 4
	}
	if value == nil {
		value = make([]byte, r.bank.DigestSize())
		if e.PCR == 0 && r.locality > 0 {
			value[len(value)-1] = byte(r.locality)
		}
	}
	for _, d := range e.Digests {
		if d.Alg == r.bank {
			r.values[e.PCR] = sum(r.bank, value, d.Sum)
		}
	}
	return nil
}

func (r *replay) startup(pcr uint32, locality []byte) error {
	if r.locality >= 0 || r.values[0] != nil || pcr != 0 {
		return fmt.Errorf("%w: StartupLocality must be stated once, before an event extends PCR 0", ErrLog)
	}
	if len(locality) != 1 || locality[0] != 0 && locality[0] != 3 && locality[0] != 4 {
		return fmt.Errorf("%w: StartupLocality %x", ErrLog, locality)
	}
	r.locality = int(locality[0])
	return nil
}
