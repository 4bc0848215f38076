package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Numbers of Part 2 of version 1.85.
const (
	ccCreatePrimary       = 0x131
	ccActivateCredential  = 0x147
	ccCreate              = 0x153
	ccImport              = 0x156
	ccLoad                = 0x157
	ccQuote               = 0x158
	ccSequenceUpdate      = 0x15C
	ccUnseal              = 0x15E
	ccFlushContext        = 0x165
	ccLoadExternal        = 0x167
	ccMakeCredential      = 0x168
	ccStartAuthSession    = 0x176
	ccGetCapability       = 0x17A
	ccVerifySeqComplete   = 0x1A3
	ccSignSeqComplete     = 0x1A4
	ccVerifyDigest        = 0x1A5
	ccSignDigest          = 0x1A6
	ccEncapsulate         = 0x1A7
	ccDecapsulate         = 0x1A8
	ccVerifySequenceStart = 0x1A9
	ccSignSequenceStart   = 0x1AA

	algAES       = 0x0006
	algKeyedHash = 0x0008
	algSHA256    = 0x000B
	algNull      = 0x0010
	algCFB       = 0x0043
	algMLKEM     = 0x00A0
	algMLDSA     = 0x00A1
	algHashMLDSA = 0x00A2

	rhOwner = 0x40000001
	rhNull  = 0x40000007
	rsPW    = 0x40000009

	stAttestQuote     = 0x8018
	stHashCheck       = 0x8024
	stMessageVerified = 0x8026
	stDigestVerified  = 0x8027

	attestMagic = 0xFF544347 // TPM_GENERATED_VALUE

	// Attributes of objects.
	fixed      = 0x12  // fixedTPM, fixedParent
	origin     = 0x20  // sensitiveDataOrigin
	ordinary   = 0x440 // userWithAuth, noDA
	restricted = 0x10000
	decrypts   = 0x20000
	signs      = 0x40000
)

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func u32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

// cat joins bytes, and sized puts their length before them: a TPM2B.
func cat(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func sized(parts ...[]byte) []byte {
	b := cat(parts...)
	return append(u16(len(b)), b...)
}

var errShort = errors.New("a response ends too early")

// A fields takes a response apart. Its first failure sticks.
type fields struct {
	b   []byte
	err error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n > len(f.b) {
		f.err, f.b = errShort, nil
		return make([]byte, min(n, 8)) // as long as any number
	}
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) u16() int      { return int(binary.BigEndian.Uint16(f.take(2))) }
func (f *fields) u32() int      { return int(binary.BigEndian.Uint32(f.take(4))) }
func (f *fields) sized() []byte { return f.take(f.u16()) }

// end reports an earlier failure, or bytes that are left.
func (f *fields) end() error {
	if f.err == nil && len(f.b) != 0 {
		return fmt.Errorf("%d bytes of a response are left", len(f.b))
	}
	return f.err
}

// A code is a response code other than success.
type code uint32

func (c code) Error() string { return fmt.Sprintf("response code 0x%03X", uint32(c)) }

// A tpm runs commands.
type tpm struct {
	send func(command []byte) ([]byte, error)
}

// A command is one with its handles. The first auths of them are authorized by an empty
// password unless there is a session.
type command struct {
	cc      int
	handles []int
	names   [][]byte // of the handles, for a session
	auths   int
	session *session
	encrypt bool // the first parameter, either way
	params  []byte
	handle  *int // of the response, if it has one
}

// run returns the response's parameters.
func (t *tpm) run(c command) (*fields, error) {
	tag, area := 0x8001, []byte(nil)
	params := c.params
	if c.session != nil {
		params, area = c.session.authorize(&c)
	}
	for range c.auths {
		if c.session == nil {
			area = append(area, cat(u32(rsPW), u16(0), []byte{0}, u16(0))...)
		}
	}
	if len(area) != 0 {
		tag, area = 0x8002, append(u32(len(area)), area...)
	}
	var handles []byte
	for _, h := range c.handles {
		handles = append(handles, u32(h)...)
	}
	body := cat(u32(c.cc), handles, area, params)
	r, err := t.send(cat(u16(tag), u32(6+len(body)), body))
	if err != nil {
		return nil, err
	}
	f := &fields{b: r}
	got, size, rc := f.u16(), f.u32(), f.u32()
	switch {
	case f.err != nil || size != len(r):
		return nil, fmt.Errorf("command 0x%X: a response of %d bytes that says %d", c.cc, len(r), size)
	case rc != 0:
		return nil, fmt.Errorf("command 0x%X: %w", c.cc, code(rc))
	case got != tag:
		return nil, fmt.Errorf("command 0x%X: tag 0x%X", c.cc, got)
	}
	if c.handle != nil {
		*c.handle = f.u32()
	}
	if tag == 0x8001 {
		return f, f.err
	}
	p := f.take(f.u32())
	if c.session != nil {
		if p, err = c.session.check(&c, p, f); err != nil {
			return nil, fmt.Errorf("command 0x%X: %w", c.cc, err)
		}
	}
	return &fields{b: p, err: f.err}, f.err
}
