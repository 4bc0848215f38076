package command

import "stubtpm/vtpm/internal/engine"

// Manufacture is engine.Manufacture of a device that has all commands.
func Manufacture(cfg engine.Config) (*engine.Device, error) {
	cfg.Dispatcher = NewTable()
	return engine.Manufacture(cfg)
}

// Load is engine.Load of a device that has all commands.
func Load(cfg engine.Config, state []byte) (*engine.Device, error) {
	cfg.Dispatcher = NewTable()
	return engine.Load(cfg, state)
}

// Resume is engine.Resume of a device that has all commands.
func Resume(cfg engine.Config, state, volatile []byte) (*engine.Device, error) {
	cfg.Dispatcher = NewTable()
	return engine.Resume(cfg, state, volatile)
}
