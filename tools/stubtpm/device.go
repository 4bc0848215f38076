package main

import (
	"time"

	"stubtpm/tools/hosted"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// openDevice is the hosted.Factory of this project's device.
func openDevice(log hosted.Logger, profile string) (hosted.Open, error) {
	var wanted *tcg.Profile
	if profile != "" {
		var err error
		if wanted, err = readProfile(profile); err != nil {
			return nil, err
		}
	}
	return func(store hosted.Store, permanent, volatile []byte) (hosted.TPM, error) {
		cfg := vtpm.Config{Store: store, Log: log, Profile: wanted}
		var d *vtpm.Device
		var err error
		switch {
		case permanent == nil:
			d, err = vtpm.Manufacture(cfg)
		case volatile != nil:
			d, err = vtpm.Resume(cfg, permanent, volatile)
		default:
			d, err = vtpm.Load(cfg, permanent)
		}
		if err != nil {
			return nil, err
		}
		if wanted != nil && d.Profile() != *wanted {
			log("the TPM keeps the profile it was manufactured with, which is not %q", profile)
		}
		go finishSelfTests(d)
		return d, nil
	}, nil
}

// selfTestPause is the pause between two self-tests, which leaves the processor to the
// first commands after power-on.
const selfTestPause = 20 * time.Millisecond

// finishSelfTests runs the self-tests that no command needed yet.
func finishSelfTests(d *vtpm.Device) {
	for more := true; more; {
		time.Sleep(selfTestPause)
		more = d.SelfTestStep()
	}
}
