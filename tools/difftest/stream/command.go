// Package stream generates streams of TPM 2.0 commands from a seed, sends each
// to two TPMs in parallel, and tells where they differ.
//
// A command is logical: it names objects, sessions and indices, and is encoded
// for each TPM with its own handles, names, nonces and blobs. Most commands are
// valid; some are spoiled on purpose, in the same way for both.
//
// It uses nothing of package vtpm but its numbers: what it says of the
// response has to come from the specification, not from our device.
package stream

import (
	"encoding/binary"
	"fmt"
	"strings"

	"stubtpm/vtpm/tcg"
)

// A TPM takes commands. Reset is _TPM_Init.
type TPM interface {
	Execute(command []byte) ([]byte, error)
	Reset() error
}

// A Looker is a TPM that sends a command to a copy of itself.
type Looker interface {
	Look(command []byte) error
}

// Sides of a comparison.
const (
	ours = iota
	other
	sides
)

// A pair is a value that each side has its own of.
type pair[T any] [sides]T

func same[T any](v T) pair[T] { return pair[T]{v, v} }

// A bytesPair is bytes of each side.
type bytesPair = pair[[]byte]

// An entity is what a handle refers to.
type entity struct {
	handle pair[uint32]
	name   bytesPair // nil: the handle is the name
	auth   []byte
	da     bool
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
	session  *session // nil: password
	handle   uint32   // if there is no session
	password []byte
	attrs    byte
	entity   *entity // what it authorizes; nil for an additional session
	raw      []byte  // if not nil, in place of the computed HMAC
}

// A command is one logical command.
type command struct {
	code    tcg.TPMCC
	handles []*entity
	auths   []*auth
	params  []bytesPair

	tag   uint16 // 0: as needed
	size  int    // added to commandSize
	extra []byte // after the end

	// handleInResponse tells whether a response has a handle.
	handleInResponse bool
	// exact lists that all bytes of the response are determined; else only
	// those of types that never depend on a key or on randomness.
	exact bool
	// loose means that not even sizes are determined.
	loose bool
	// done updates the model after success on both sides.
	done func(r *pair[response])

	whole   bool   // must not be spoiled: the model could not follow
	spoiled string // how it was spoiled, for the log

	restarted bool // the TPMs were, before it
	counted   bool // resetCount began at the same number on both sides
}

func (c *command) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", c.code)
	if c.spoiled != "" {
		fmt.Fprintf(&b, " (%s)", c.spoiled)
	}
	return b.String()
}

// A response is a decoded one.
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

// lit is a parameter that both sides get alike.
func lit(b ...[]byte) bytesPair { return same(cat(b...)) }

// own2B is a TPM2B of which each side gets its own.
func own2B(p bytesPair) bytesPair { return bytesPair{b2(p[0]), b2(p[1])} }

// encode builds the command for a side. It advances nothing: the nonces of
// sessions that it used are kept in the sessions.
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

// decode splits a response.
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
