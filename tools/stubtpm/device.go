package main

import (
	"errors"

	"stubtpm/tools/hosted"
	"stubtpm/vtpm"
)

// openDevice is the hosted.Open of this project's own device.
func openDevice(log hosted.Logger) hosted.Open {
	return func(store hosted.Store, permanent, volatile []byte) (hosted.TPM, error) {
		if volatile != nil {
			// Going on without it would show the guest a reset that never was.
			return nil, errors.New("this device cannot resume volatile state; remove it, or start it afresh")
		}
		cfg := vtpm.Config{Store: store, Log: log}
		var d *vtpm.Device
		var err error
		if permanent == nil {
			d, err = vtpm.Manufacture(cfg)
		} else {
			d, err = vtpm.Load(cfg, permanent)
		}
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}
