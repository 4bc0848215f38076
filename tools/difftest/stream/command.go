package stream

import (
	"encoding/binary"
	"fmt"
	"strings"

	"stubtpm/vtpm/tcg"
)

// A TPM executes commands. Reset is _TPM_Init.
type TPM interface {
	Execute(command []byte) ([]byte, error)
	Reset() error
}

// A Looker is a TPM that can execute a command on a copy of itself.
type Looker interface {
	Look(command []byte) error
}

// The sides of a comparison.
const (
	ours = iota
	other
	sides
)

// A pair is a value that differs between the sides.
type pair[T any] [sides]T

func same[T any](v T) pair[T] { return pair[T]{v, v} }

// A bytesPair is a byte string for each side.
type bytesPair = pair[[]byte]

// An entity is what a handle refers to.
type entity struct {
	handle pair[uint32]
	name   bytesPair // nil if the name is the handle
	auth   []byte    // its authValue
	da     bool      // subject to dictionary attack protection
}

func fixedEntity(h uint32) *entity { return &entity{handle: same(h)} }

func (e *entity) nameOf(s int) []byte {
	if e.name[s] == nil {
		return u32(e.handle[s])
	}
	return e.name[s]
}

// An auth is one entry of the authorization area.
type auth struct {
	session  *session // nil for a password
	handle   uint32   // if session is nil
	password []byte
	attrs    byte
	entity   *entity // the entity that it authorizes; nil for an additional session
	raw      []byte  // if not nil, replaces the computed HMAC
}

// A command is one logical command.
type command struct {
	code    tcg.TPMCC
	handles []*entity
	auths   []*auth
	params  []bytesPair

	tag   uint16 // 0 for the correct one
	size  int    // added to commandSize
	extra []byte // appended to the command

	// handleInResponse is whether a response has a handle.
	handleInResponse bool
	// exact means that all bytes of the response must be equal on both sides.
	// Otherwise only values that never depend on a key or on randomness must.
	exact bool
	// loose means that not even sizes must be equal.
	loose bool
	// done updates the model after success on both sides.
	done func(r *pair[response])

	whole   bool   // must not be spoiled, because the model could not follow
	spoiled string // how it was spoiled, for the log

	restarted bool // the TPMs were restarted before it
	counted   bool // resetCount started at the same number on both sides
}

func (c *command) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", c.code)
	if c.spoiled != "" {
		fmt.Fprintf(&b, " (%s)", c.spoiled)
	}
	return b.String()
}

// A response is a decoded response.
type response struct {
	raw    []byte
	rc     tcg.TPMRC
	tag    uint16
	handle uint32
	params []byte
	auths  []byte

	exclusive []byte // the auditExclusive bit of each session's response
}

func u16[T ~uint16 | ~int](v T) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func u32[T ~uint32 | ~int](v T) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func u64(v uint64) []byte              { return binary.BigEndian.AppendUint64(nil, v) }

// b2 returns a TPM2B.
func b2(b ...[]byte) []byte {
	n := cat(b...)
	return append(u16(len(n)), n...)
}

func cat(b ...[]byte) []byte {
	var r []byte
	for _, x := range b {
		r = append(r, x...)
	}
	return r
}

// lit returns a parameter that is the same for both sides.
func lit(b ...[]byte) bytesPair { return same(cat(b...)) }

// own2B returns a parameter of type TPM2B with each side's own value.
func own2B(p bytesPair) bytesPair { return bytesPair{b2(p[0]), b2(p[1])} }

// encode encodes the command for a side. It does not change the state of sessions.
func (c *command) encode(s int) []byte {
	var params []byte
	for _, p := range c.params {
		params = append(params, p[s]...)
	}
	var handles, names []byte
	for _, h := range c.handles {
		handles = append(handles, u32(h.handle[s])...)
		names = append(names, h.nameOf(s)...)
	}
	tag := uint16(tcg.TPMSTNoSessions)
	var area []byte
	if len(c.auths) > 0 {
		tag = uint16(tcg.TPMSTSessions)
		params = c.encryptParams(s, params)
		var body []byte
		for i, a := range c.auths {
			body = append(body, c.encodeAuth(s, i, a, names, params)...)
		}
		area = append(u32(len(body)), body...)
	}
	if c.tag != 0 {
		tag = c.tag
	}
	body := cat(handles, area, params)
	return cat(u16(int(tag)), u32(10+len(body)+c.size), u32(uint32(c.code)), body, c.extra)
}

// decode parses a response.
func (c *command) decode(raw []byte) (r response, err error) {
	r.raw = raw
	if len(raw) < 10 || int(binary.BigEndian.Uint32(raw[2:])) != len(raw) {
		return r, fmt.Errorf("response of %d bytes with a bad header: %x", len(raw), raw)
	}
	r.tag = binary.BigEndian.Uint16(raw)
	r.rc = tcg.TPMRC(binary.BigEndian.Uint32(raw[6:]))
	b := raw[10:]
	if r.rc != 0 {
		if len(b) != 0 {
			return r, fmt.Errorf("error response of %d bytes: %x", len(raw), raw)
		}
		return r, nil
	}
	if c.handleInResponse {
		if len(b) < 4 {
			return r, fmt.Errorf("no handle in response: %x", raw)
		}
		r.handle, b = binary.BigEndian.Uint32(b), b[4:]
	}
	if r.tag != uint16(tcg.TPMSTSessions) {
		r.params = b
		return r, nil
	}
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return r, fmt.Errorf("bad parameterSize in response: %x", raw)
	}
	n := binary.BigEndian.Uint32(b)
	r.params, r.auths = b[4:4+n], b[4+n:]
	return r, nil
}
