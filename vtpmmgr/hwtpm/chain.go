package hwtpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// DefaultPCR is the PCR that links the commits of the ledger: one that the PC
// Client profile leaves to the platform's user, and that only a reset of
// the platform clears (PC Client Platform TPM Profile 1.06, table 4).
const DefaultPCR = 15

// Only a reset of the platform clears the PCRs up to maxChainPCR: 16 and 23 may be
// reset by anybody, 17 to 22 by a dynamic launch. Those below minChainPCR are
// firmware's, and the root key may be sealed to them.
const (
	minChainPCR = 8
	maxChainPCR = 15
)

// CheckPCR returns an error for a PCR that cannot link commits.
func CheckPCR(n uint) error {
	if n < minChainPCR || n > maxChainPCR {
		return fmt.Errorf("hwtpm: PCR %d cannot link commits: want %d to %d", n, minChainPCR, maxChainPCR)
	}
	return nil
}

// ChainPCR is the number of the PCR that links commits.
func (t *TPM) ChainPCR() uint { return t.pcr }

// errReset says that the session that vouches for the PCR is gone.
var errReset = errors.New("the hardware TPM was reset, or its session is gone, since the PCR was read")

// A chained is a session that is salted to the storage key. It lives as long as
// the TPM has power, so whoever was answered in it knows that the PCR was not
// cleared since the last answer.
type chained struct {
	session tpm2.Session
	end     func()
}

// openChain opens the session. It needs room besides that of the two that
// write the indices.
func (t *TPM) openChain() error {
	srk, err := t.storageKey()
	if err != nil {
		return err
	}
	defer t.flush(srk.handle)
	t.closeRandom()
	s, end, err := tpm2.HMACSession(t.bus, tpm2.TPMAlgSHA256, 16, srk.salted(), tpm2.Audit())
	if err != nil {
		return err
	}
	t.chain = &chained{s, func() { end() }}
	return nil
}

func (t *TPM) closeChain() {
	if t.chain != nil {
		t.chain.end()
		t.chain = nil
	}
}

// Chain returns the value of the PCR, and a number that is another after each
// reset of the TPM: resetCount and restartCount (Part 2, TPMS_CLOCK_INFO).
func (a Anchor) Chain() (value [32]byte, boot uint64, err error) {
	t := a.t
	err = t.do("PCR", func() error {
		if t.secret == nil {
			return errLocked
		}
		if t.chain == nil {
			if err := t.openChain(); err != nil {
				return err
			}
		}
		c, err := tpm2.ReadClock{}.Execute(t.bus, t.chain.session)
		if err != nil {
			return err
		}
		info := c.CurrentTime.ClockInfo
		boot = uint64(info.ResetCount)<<32 | uint64(info.RestartCount)
		r, err := tpm2.PCRRead{PCRSelectionIn: selection([]uint{t.pcr})}.Execute(t.bus, t.chain.session)
		if err != nil {
			return err
		}
		if len(r.PCRValues.Digests) != 1 || len(r.PCRValues.Digests[0].Buffer) != len(value) {
			return fmt.Errorf("the TPM has no SHA-256 PCR %d, which a budget needs", t.pcr)
		}
		copy(value[:], r.PCRValues.Digests[0].Buffer)
		return nil
	})
	return value, boot, err
}

// Link makes the PCR's value SHA-256(value || d), unless the TPM was reset since
// Chain was called. After an error it may have been done: Chain tells.
func (a Anchor) Link(d [32]byte) error {
	t := a.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.chain == nil {
		return fmt.Errorf("hwtpm: link: %w", errReset)
	}
	t.begin("link")
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(t.pcr), Name: tpm2.HandleName(tpm2.TPMHandle(t.pcr)), Auth: t.chain.session},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: d[:]}}},
	}.Execute(t.bus)
	return t.note("link", err)
}
