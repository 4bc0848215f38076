package engine

import (
	"errors"
	"io"
	"stubtpm/vtpm/internal/hierarchy"
	"stubtpm/vtpm/tcg"
	"time"
)

// MaxCommandSize and MaxResponseSize are the sizes in bytes of the largest command
// and response.
const (
	MaxCommandSize  = 4096
	MaxResponseSize = 4096
)

// A Store is vtpm.Store.
type Store interface {
	Save(state []byte) error
}

// An IdleStore is vtpm.IdleStore.
type IdleStore interface {
	Store
	SaveIdle(state []byte) error
}

// ErrRate says, where an error of a Store wraps it, that states are saved too
// often: the command is answered with TPM_RC_NV_RATE.
var ErrRate = errors.New("vtpm: the state is saved too often")

// Config is what a Device is built from: vtpm.Config, which documents its fields,
// and the Dispatcher. Store and Dispatcher are required.
type Config struct {
	Store      Store
	Rand       io.Reader
	Now        func() time.Duration
	Profile    *tcg.Profile
	Floors     Floors
	Epoch      *Epoch
	Firmware   *hierarchy.Firmware
	Log        func(format string, args ...any)
	Dispatcher Dispatcher
}

// ErrState is wrapped by the errors that Load returns for a state it cannot
// use.
var ErrState = errors.New("vtpm: state is not usable")
