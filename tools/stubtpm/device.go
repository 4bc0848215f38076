package main

import (
	"stubtpm/tools/hosted"
	"stubtpm/vtpm"
)

// openDevice is the hosted.Open of this project's own device.
func openDevice(log hosted.Logger) hosted.Open {
	return func(store hosted.Store, permanent, volatile []byte) (hosted.TPM, error) {
		cfg := vtpm.Config{Store: store, Log: log}
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
		return d, nil
	}
}
