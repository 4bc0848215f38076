package vtpm

import "stubtpm/vtpm/tcg"

// Part 3, section 10 - Testing.
var testingCommands = commandTable{
	tcg.TPMCCSelfTest:            (*Device).selfTest,
	tcg.TPMCCIncrementalSelfTest: (*Device).incrementalSelfTest,
	tcg.TPMCCGetTestResult:       (*Device).getTestResult,
}

// selfTest is TPM2_SelfTest. The known answers are computed at once, with
// fullTest again even for what passed before.
//
//	TPM_RC_FAILURE  a known answer was not met; the device is in failure mode
func (d *Device) selfTest(c *call) error {
	r := c.reader()
	full := r.next().YesNo()
	if err := r.end(); err != nil {
		return err
	}
	return d.runSelfTests(full, nil)
}

// incrementalSelfTest is TPM2_IncrementalSelfTest. All that is asked for is
// tested before the answer, which has what was not tested yet.
func (d *Device) incrementalSelfTest(c *call) error {
	var algs tcg.TPMLAlg
	r := c.reader()
	algs.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	if len(algs) != 0 {
		if err := d.runSelfTests(false, algs); err != nil {
			return err
		}
	}
	tcg.TPMLAlg(d.untested()).Marshal(&c.out)
	return nil
}

// untested lists the algorithms of the profile whose known answers were not
// computed yet.
func (d *Device) untested() (algs []tcg.TPMAlgID) {
	for _, a := range d.tests.ToDo() {
		if d.profile.HasAlg(a) {
			algs = append(algs, a)
		}
	}
	return algs
}

// getTestResult is TPM2_GetTestResult. In failure mode it tells what failed;
// before all was tested, by need, TPM2_SelfTest or SelfTestStep, TPM_RC_NEEDS_TEST.
func (d *Device) getTestResult(c *call) error {
	if err := c.noParams(); err != nil {
		return err
	}
	if d.vol.failed {
		what := d.vol.failure.what
		c.out.Sized([]byte(what[:min(len(what), tcg.MaxDigestBuffer)]))
		c.out.Uint32(uint32(tcg.TPMRCFailure))
		return nil
	}
	result := tcg.TPMRCSuccess
	if len(d.untested()) != 0 {
		result = tcg.TPMRCNeedsTest
	}
	c.out.Sized(nil)
	c.out.Uint32(uint32(result))
	return nil
}
