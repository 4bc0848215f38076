package main

import (
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
		return d, nil
	}, nil
}
