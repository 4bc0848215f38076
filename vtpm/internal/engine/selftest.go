package engine

import (
	"errors"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// errSelfTest is wrapped by the error that puts the device in failure mode
// when a known answer is not met.
var errSelfTest = errors.New("self-test failed")

// Need runs the known-answer tests of algorithms that have not passed yet,
// before their first use (Part 1, "Self-Test Modes"). An algorithm that fails
// ends in failure mode: the panic is the dispatcher's to catch.
func (d *Device) Need(algs ...tcg.TPMAlgID) {
	if err := d.Tests.Need(algs...); err != nil {
		panic(errors.Join(errSelfTest, err))
	}
}

// NeedAtStartup are the algorithms that every command rests on.
var NeedAtStartup = []tcg.TPMAlgID{
	tcg.TPMAlgNull, // the random number generator
	tcg.TPMAlgSHA256, tcg.TPMAlgHMAC, tcg.TPMAlgKDF1SP800108, tcg.TPMAlgAES, tcg.TPMAlgCFB,
}

// RunSelfTests is what TPM2_SelfTest and, with a list, TPM2_IncrementalSelfTest
// do: the tests that have not passed yet, or with full all over again.
func (d *Device) RunSelfTests(full bool, algs []tcg.TPMAlgID) error {
	var err error
	if algs != nil {
		err = d.Tests.Need(algs...)
	} else {
		err = d.Tests.All(full)
	}
	if err != nil {
		return errors.Join(errSelfTest, err)
	}
	return nil
}

// SelfTestStep runs the known-answer test of one algorithm that has not passed
// yet, and reports whether others are left. A program that calls it until then,
// with pauses, lets TPM2_GetTestResult succeed without TPM2_SelfTest (Part 1,
// "Self-Test Modes"). No command waits for the lock meanwhile; on one processor
// it may wait for the test, which takes some milliseconds at most. A known answer that is not met ends in failure mode.
func (d *Device) SelfTestStep() bool {
	d.mu.Lock()
	profile := *d.Profile
	want := func(a tcg.TPMAlgID) bool { return profile.HasAlg(a) }
	k, ok := d.Tests.Next(want)
	d.mu.Unlock()
	if !ok {
		return false
	}
	err := k.Run()

	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.Tests.Record(k.Alg, err); err != nil {
		d.Fail(errors.Join(errSelfTest, err).Error(), 0)
		return false
	}
	_, more := d.Tests.Next(want)
	return more
}

// TestingOnlyFailSelfTest makes the known-answer test of an algorithm fail
// from now on, to test failure mode. It is for tests only.
func (d *Device) TestingOnlyFailSelfTest(alg tcg.TPMAlgID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Tests = tpmcrypto.SelfTest{TestingOnlyFail: func(a tcg.TPMAlgID) bool { return a == alg }}
}
