package command_test

import (
	"bytes"
	"strings"
	"testing"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

type (
	handles = tpmtest.Handles
	auths   = tpmtest.Auths
)

// A codes holds the rows of one command: each provokes a response code. When its
// test ends every code has to have a row that the comment of the command's handler
// lists.
type codes struct {
	t    *testing.T
	cc   tcg.TPMCC
	tpm  *tpmtest.TPM
	seen map[string]bool // names of codes, without positions
}

// codesOf begins the rows of a command on a TPM. The codes are those of the
// handler, and of other functions of which it is said that they check for it.
func codesOf(t *testing.T, tpm *tpmtest.TPM, cc tcg.TPMCC, functions ...string) *codes {
	t.Helper()
	c := &codes{t: t, cc: cc, tpm: tpm, seen: map[string]bool{}}
	listed := handlers(t).codesOf(t, cc, functions...)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		for _, name := range listed {
			if !c.seen[name] {
				t.Errorf("%v: its comment lists %s, and no row provokes it", cc, name)
			}
		}
	})
	return c
}

// on is the same rows on another TPM.
func (c *codes) on(tpm *tpmtest.TPM) *codes { return &codes{c.t, c.cc, tpm, c.seen} }

// row sends the command, authorized by empty passwords, which has to be answered
// with rc. why says what is wrong with it.
func (c *codes) row(rc tcg.TPMRC, why string, h handles, params ...any) *tpmtest.Response {
	c.t.Helper()
	return c.by(rc, why, h, nil, params...)
}

// by is row with authorizations.
func (c *codes) by(rc tcg.TPMRC, why string, h handles, a auths, params ...any) *tpmtest.Response {
	c.t.Helper()
	before := state(c.tpm)
	r := c.tpm.Run(c.cc, h, a, params...)
	if r.Code != rc {
		c.t.Errorf("%v, %s: %v (%#x), not %v (%#x)", c.cc, why, r.Code, uint32(r.Code), rc, uint32(rc))
	} else if rc != tcg.TPMRCSuccess && !leaves(rc) && !bytes.Equal(before, state(c.tpm)) {
		c.t.Errorf("%v, %s: %v, and the command changed something", c.cc, why, rc)
	}
	c.seen[nameOf(rc)] = true
	return r
}

// state is all that a TPM has: its volatile state begins with the hash of the
// permanent one. In failure mode it has none.
func state(tpm *tpmtest.TPM) []byte {
	volatile, err := tpm.Volatile()
	if err != nil {
		return nil
	}
	return volatile
}

// leaves reports whether a command that is answered rc may leave something behind: the
// count of an authorization that failed, or failure mode.
func leaves(rc tcg.TPMRC) bool {
	name := nameOf(rc)
	return name == nameOf(tcg.TPMRCAuthFail) || name == nameOf(tcg.TPMRCBadAuth) || rc == tcg.TPMRCLockout || rc == tcg.TPMRCFailure
}

// excuse takes a code off the list that no command can provoke, and says why.
func (c *codes) excuse(rc tcg.TPMRC, why string) {
	c.t.Helper()
	if why == "" {
		c.t.Errorf("%v: %v is excused without a reason", c.cc, rc)
	}
	c.seen[nameOf(rc)] = true
}

// nameOf is the specification's name of a code, without a position.
func nameOf(rc tcg.TPMRC) string {
	name, _, _ := strings.Cut(rc.Error(), " ")
	return name
}
