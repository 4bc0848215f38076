package dispatch

import (
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// A Handler runs one command whose header, handles, sessions and
// authorizations have been checked. It reads its parameters, checks them,
// changes state, and writes its response parameters, in this order.
type Handler func(d *engine.Device, c *Call) error

// A Call is one command in the course of being run.
type Call struct {
	Spec     *tcg.CommandSpec
	Locality uint8
	Handles  [engine.MaxHandles]tcg.TPMHandle
	Sent     []byte // parameters as they came, which cpHash is over
	Params   []byte // decrypted
	Profile  *tcg.Profile

	rest tcg.Reader // of the command, in which no step has looked yet

	hasSessions bool // by the command's tag
	Sessions    [maxSessions]authorization
	nSessions   int

	OutHandle tcg.TPMHandle
	Out       tcg.Writer // response parameters

	Names    [3][]byte // of the entities that handles refer to
	cpHashes []hashValue

	// FlushAfter, if not zero, is an object to be flushed once the response is
	// built, which still needs its authorization value.
	FlushAfter tcg.TPMHandle

	// NotAudited is set by a command that changes the algorithm of command
	// audit (Part 3, 21.1).
	NotAudited bool
}

// A hashValue is a digest with the algorithm that made it.
type hashValue struct {
	alg    tcg.TPMAlgID
	digest []byte
}

// A Params reads the parameters of a command in order: Next says that
// the next one begins.
type Params struct {
	tcg.Reader
	n int
}

// Reader returns a reader of the command's parameters.
func (c *Call) Reader() *Params {
	return &Params{Reader: tcg.NewReader(c.Params, c.Profile)}
}

// Next begins the next parameter and returns the reader for it.
func (p *Params) Next() *tcg.Reader {
	if p.Err() == tcg.TPMRCSuccess {
		p.n++
	}
	return &p.Reader
}

// End returns the first fault as one of the parameter that has it; bytes
// after the last parameter are TPM_RC_SIZE.
func (p *Params) End() error {
	if rc := p.Err(); rc != tcg.TPMRCSuccess {
		return rc.P(p.n)
	}
	if p.Len() != 0 {
		return tcg.TPMRCSize
	}
	return nil
}

// NoParams checks that a command without parameters has none.
func (c *Call) NoParams() error { return c.Reader().End() }
