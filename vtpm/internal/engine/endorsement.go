package engine

import (
	"bytes"
	"errors"
	"fmt"

	"stubtpm/vtpm/tcg"
)

// NV indices of certificates of endorsement keys (TCG EK Credential Profile for
// TPM Family 2.0, "Handle Values for EK Certificates, EK Nonces and EK
// Templates").
const (
	EKCertRSA2048 tcg.TPMHandle = 0x01C00002 // low range
	EKCertP256    tcg.TPMHandle = 0x01C0000A // low range
	EKCertP384    tcg.TPMHandle = 0x01C00016 // high range, template H-3
)

// EndorsementSeed returns a copy of the endorsement primary seed, and the profile,
// once the known-answer tests of algs have passed. A test that fails ends in failure
// mode, in which there is no seed.
func (d *Device) EndorsementSeed(algs ...tcg.TPMAlgID) ([]byte, *tcg.Profile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Vol.Failed {
		return nil, nil, d.failureMode()
	}
	if err := d.Tests.Need(algs...); err != nil {
		err = errors.Join(errSelfTest, err)
		d.Fail(err.Error(), 0)
		return nil, nil, err
	}
	return bytes.Clone(d.Hierarchies().Secrets(tcg.TPMRHEndorsement).Seed), d.Profile, nil
}

// failureMode returns the error of what cannot be done in failure mode.
func (d *Device) failureMode() error {
	return fmt.Errorf("vtpm: failure mode: %s", d.Vol.Failure.What)
}
