package transfer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// Played managers: what a manager keeps is a value, so that a search can go back to it.

var (
	managers = [2]ID{{'A', 1}, {'B', 2}}
	theVTPM  = ID{'v', 't', 'p', 'm'}
	errFault = errors.New("fault put in")
)

// approver returns the key of the approver of the vTPM's group.
var approver = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) })

// site makes and checks the evidence of played managers: whether it is of this site (1),
// manager, image, security version, message and nonce.
type site struct {
	self      ID
	image     byte
	forged    bool // made outside of the site
	anybody   bool // a fault: takes evidence of outside
	noMessage bool // a fault: does not look at the message
}

const evidenceSize = 1 + 16 + 1 + 32 + 32

func (s *site) Attest(message, nonce Hash) ([]byte, error) {
	b := appendFlag(nil, !s.forged)
	b = append(append(b, s.self[:]...), s.image)
	return append(append(b, message[:]...), nonce[:]...), nil
}

var (
	errOutside = errors.New("not of this site")
	errMessage = errors.New("evidence for another message")
	errNonce   = errors.New("evidence for another nonce")
)

func (s *site) Verify(evidence []byte, message, nonce Hash) (*Claims, error) {
	switch {
	case len(evidence) != evidenceSize || evidence[0] != 1 && !s.anybody:
		return nil, errOutside
	case !s.noMessage && !bytes.Equal(evidence[18:50], message[:]):
		return nil, errMessage
	case !bytes.Equal(evidence[50:], nonce[:]):
		return nil, errNonce
	}
	return &Claims{Manager: ID(evidence[1:17]), Image: Hash{evidence[17]}, SecurityVersion: uint32(evidence[17]), Place: Hash{'p'}, Labels: true}, nil
}

// chip is a hardware TPM: it gives a key out in the PCR state in which it was sealed.
type chip struct{ pcrs byte }

func (c *chip) Seal(private []byte) ([]byte, error) { return append([]byte{c.pcrs}, private...), nil }

func (c *chip) Open(sealed []byte) ([]byte, error) {
	if sealed[0] != c.pcrs {
		return nil, KeyWithheld.because(errors.New("PolicyPCR"))
	}
	return bytes.Clone(sealed[1:]), nil
}

// draws are random numbers that are counted, so that no two are the same.
type draws struct {
	of    ID
	count *int32
	same  bool // a fault: a move's number is always the same
}

func (d *draws) Read(b []byte) (int, error) {
	if d.same && len(b) == 16 {
		return copy(b, "the same number!"), nil
	}
	*d.count++
	h := sha256.Sum256(binary.BigEndian.AppendUint32(d.of[:], uint32(*d.count)))
	return copy(b, h[:]), nil
}

// A disk keeps one state, and the hardware TPM which one is the last. A fault has Store
// fail before or after it took effect.
type disk struct {
	state  string
	anchor Hash
	stores int
	fail   int // 1 before, 2 after
}

var errOld = errors.New("the disk is an old one")

func (d *disk) Load() (*State, error) {
	if sha256.Sum256([]byte(d.state)) != d.anchor {
		return nil, errOld
	}
	return ParseState([]byte(d.state))
}

func (d *disk) Store(s *State) error {
	if d.fail == 1 {
		return errFault
	}
	b := s.Append(nil)
	if _, err := ParseState(b); err != nil {
		panic("a state that cannot be read is stored: " + err.Error())
	}
	d.state, d.anchor = string(b), sha256.Sum256(b)
	d.stores++
	if d.fail == 2 {
		return errFault
	}
	return nil
}

func secret() []byte { return bytes.Repeat([]byte("key"), 11)[:32] }

// house is what a played manager knows of groups, as a source and as a target.
type house struct {
	sequence uint64
	rules    Rules
	frozen   error
	key      ed25519.PublicKey
	take     error
	vtpm     ID
}

func (h *house) Record() (*Record, error) {
	return &Record{VTPM: h.vtpm, Key: [32]byte(secret()), Sequence: h.sequence, Group: "mail", Name: "mx", Rules: h.rules}, h.frozen
}

type home struct{ *house }

func (h home) Approver() (ed25519.PublicKey, error) { return h.key, nil }

type place struct{ *house }

func (p place) Approver(*Record) (ed25519.PublicKey, error) { return p.key, nil }
func (p place) Take(*Record, *Claims) error                 { return p.take }

// A local is one manager: what it keeps on its disk and what it has in memory.
type local struct {
	disk     string // State
	sequence uint64 // of the last commit of a vTPM that is live
	nonce    Hash   // of the source, lost by a crash
	draws    int32
}

// A player is a manager that runs.
type player struct {
	local
	disk   *disk
	site   *site
	house  *house
	source *Source
	target *Target
}

// play starts the manager of an index.
func play(l local, index int, fail int, f *fault) *player {
	p := &player{local: l, disk: &disk{state: l.disk, anchor: sha256.Sum256([]byte(l.disk)), fail: fail}, site: &site{self: managers[index], image: 1}}
	d := &draws{of: managers[index], count: &p.draws}
	if f != nil {
		p.site.anybody, p.site.noMessage, d.same = f.anybody, f.noMessage, f.sameNumber
	}
	p.house = &house{sequence: l.sequence, key: approver().Public().(ed25519.PublicKey), vtpm: theVTPM}
	parts := Parts{Manager: managers[index], VTPM: theVTPM, Durable: p.disk, Attest: p.site, Verify: p.site, Rand: d}
	p.source = &Source{Parts: parts, Home: home{p.house}, nonce: l.nonce}
	p.target = &Target{Parts: parts, Vault: &chip{1}, Place: place{p.house}}
	return p
}

// end returns what the manager is now.
func (p *player) end() local {
	l := p.local
	l.nonce = p.source.nonce
	if p.disk.state != l.disk {
		before, _ := ParseState([]byte(l.disk))
		after, _ := p.disk.Load()
		if before.Phase == Received && after.Phase == Live {
			l.sequence = before.Record.Sequence
		}
		l.disk = p.disk.state
	}
	return l
}

func stateOf(l local) *State {
	s, err := ParseState([]byte(l.disk))
	if err != nil {
		panic(err)
	}
	return s
}

func sign(o *Offer) *Order {
	return &Order{[signature]byte(ed25519.Sign(approver(), o.Approval())), *o}
}

// What is asked of a manager.
type op byte

const (
	opRequest op = iota
	opOffer
	opMove
	opReceive
	opAnswer
	opRelease
	opRefuse
	opAgainSource
	opAgainTarget
)

// opsOf returns what a courier can do with a message.
func opsOf(message []byte) []op {
	switch message[0] {
	case kindRequest:
		return []op{opOffer}
	case kindOffer:
		return []op{opRefuse}
	case kindOrder:
		return []op{opMove}
	case kindHandover:
		return []op{opReceive}
	case kindReceipt, kindRefusal:
		return []op{opAnswer}
	}
	return []op{opRelease}
}

// do asks it of a manager.
func (p *player) do(o op, message []byte) (out []byte, err error) {
	message = slices.Clone(message)
	switch o {
	case opRequest:
		return p.source.Request()
	case opOffer:
		return p.target.Offer(message)
	case opMove:
		return p.source.Move(message)
	case opReceive:
		out, _, err = p.target.Receive(message)
		return out, err
	case opAnswer:
		out, _, err = p.source.Answer(message)
		return out, err
	case opRelease:
		return nil, p.target.Release(message)
	case opRefuse:
		return p.target.Refuse(message)
	case opAgainSource:
		return p.source.Again()
	}
	return p.target.Again()
}
