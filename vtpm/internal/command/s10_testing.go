package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
)

// selfTest is TPM2_SelfTest, which tests the algorithms. The known answers are
// computed at once, with fullTest again even for what passed before.
//
//	TPM_RC_FAILURE  a known answer was not met; the device is in failure mode
func selfTest(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	full := r.Next().YesNo()
	if err := r.End(); err != nil {
		return err
	}
	return d.RunSelfTests(full, nil)
}

// incrementalSelfTest is TPM2_IncrementalSelfTest, which tests the listed
// algorithms. All that is asked for is tested before the answer, which has what
// was not tested yet.
func incrementalSelfTest(d *engine.Device, c *dispatch.Call) error {
	var algs tcg.TPMLAlg
	r := c.Reader()
	algs.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	if len(algs) != 0 {
		if err := d.RunSelfTests(false, algs); err != nil {
			return err
		}
	}
	tcg.TPMLAlg(untested(d)).Marshal(&c.Out)
	return nil
}

// untested lists the algorithms of the profile whose known answers were not
// computed yet.
func untested(d *engine.Device) (algs []tcg.TPMAlgID) {
	for _, a := range d.Tests.ToDo() {
		if d.Profile.HasAlg(a) {
			algs = append(algs, a)
		}
	}
	return algs
}

// getTestResult is TPM2_GetTestResult, which returns the result of the
// self-tests. In failure mode it tells what failed; before all was tested, by
// need, TPM2_SelfTest or SelfTestStep, TPM_RC_NEEDS_TEST.
func getTestResult(d *engine.Device, c *dispatch.Call) error {
	if err := c.NoParams(); err != nil {
		return err
	}
	if d.Vol.Failed {
		what := d.Vol.Failure.What
		c.Out.Sized([]byte(what[:min(len(what), tcg.MaxDigestBuffer)]))
		c.Out.Uint32(uint32(tcg.TPMRCFailure))
		return nil
	}
	result := tcg.TPMRCSuccess
	if len(untested(d)) != 0 {
		result = tcg.TPMRCNeedsTest
	}
	c.Out.Sized(nil)
	c.Out.Uint32(uint32(result))
	return nil
}
