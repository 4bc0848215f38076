package main

import (
	"time"

	"stubtpm/tools/hosted"
	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
)

// openDevice is the hosted.Factory of this project's own device.
func openDevice(log hosted.Logger, profile string) (hosted.Open, error) {
	var asked *tcg.Profile
	if profile != "" {
		var err error
		if asked, err = readProfile(profile); err != nil {
			return nil, err
		}
	}
	return func(store hosted.Store, permanent, volatile []byte) (hosted.TPM, error) {
		cfg := vtpm.Config{Store: store, Log: log, Profile: asked}
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
		if asked != nil && d.Profile() != *asked {
			log("the TPM keeps the profile with which it was made, which is not %q", profile)
		}
		go finishSelfTests(d)
		return d, nil
	}, nil
}

// selfTestPause is how long the device rests between two self-tests, so that
// the first commands after power-on find the processor free.
const selfTestPause = 20 * time.Millisecond

// finishSelfTests runs the self-tests that no command needed yet.
func finishSelfTests(d *vtpm.Device) {
	for more := true; more; {
		time.Sleep(selfTestPause)
		more = d.SelfTestStep()
	}
}
