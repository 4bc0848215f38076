package engine

import (
	"errors"

	"stubtpm/vtpm/tcg"
)

// MaxCommandSize and MaxResponseSize are the sizes in bytes of the largest command
// and response unless SetBufferSize says another size, up to LargestBuffer.
const (
	MaxCommandSize  = 4096
	MaxResponseSize = 4096
	LargestBuffer   = 8192
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

// ErrState is wrapped by the errors that Load returns for a state it cannot
// use.
var ErrState = errors.New("vtpm: state is not usable")

// Floors is vtpm.Floors.
type Floors struct {
	Clock       uint64
	ResetCount  uint32
	FailedTries uint32
}

// An Epoch is vtpm.Epoch.
type Epoch struct {
	Ledger   uint32
	Restores uint32
}

// EpochIndex is vtpm.EpochIndex.
const EpochIndex = 0x01057B00

// AskIndex and AnswerIndex are vtpm.AskIndex and vtpm.AnswerIndex, MaxAsk and
// MaxAnswer the bytes that they hold at most.
const (
	AskIndex    tcg.TPMHandle = 0x01057B01
	AnswerIndex tcg.TPMHandle = 0x01057B02
	MaxAsk                    = 133
	MaxAnswer                 = 8 << 10
)
