package hosted

import (
	"encoding/binary"
)

// A TPM is a device that this package serves. Its methods are safe for concurrent
// use.
type TPM interface {
	// Execute runs one command at a locality (0 to 4) and returns its
	// response. It takes any bytes.
	Execute(locality uint8, command []byte) []byte

	// Init is the signal _TPM_Init.
	Init()

	// Cancel asks the command in progress to end early; it does not wait.
	Cancel()
}

// A Hasher is a TPM with the signals of a measured launch, _TPM_Hash_Start,
// _TPM_Hash_Data and _TPM_Hash_End (Part 3, section 22).
type Hasher interface {
	HashStart()
	HashData(data []byte)
	HashEnd()
}

// A Snapshotter is a TPM whose volatile state can be kept and put back, so
// that a stopped virtual machine resumes with its sessions and PCRs.
type Snapshotter interface {
	Volatile() ([]byte, error)
}

// A Sizer is a TPM whose largest command and response, in bytes, can be set
// (TPM_PT_MAX_COMMAND_SIZE, TPM_PT_MAX_RESPONSE_SIZE).
type Sizer interface {
	SetBufferSize(n uint32)
}

// An Open makes a device, powered on and waiting for TPM2_Startup, that saves
// to store. Without permanent state it manufactures; with volatile state it
// resumes as if it had never stopped.
type Open func(store Store, permanent, volatile []byte) (TPM, error)

// A Factory returns the Open of a device. The profile, if it is not "", is the
// value of --profile, for TPMs that are manufactured.
type Factory func(log Logger, profile string) (Open, error)

// A Store keeps the permanent state; it has the method of vtpm.Store.
type Store interface {
	Save(state []byte) error
}

// Sizes of the command buffer, in bytes (TPM_PT_MAX_COMMAND_SIZE): if nothing is said,
// and the limits of what a client may ask for.
const (
	maxCommand = 4096
	minCommand = 2808 // what swtpm offers as its minimum
	maxBuffer  = 8192

	headerSize = 10 // tag, size, code (Part 3, "Command/Response Header")
)

// TPM 2.0 numbers that the servers themselves use (Part 2, 6.5.2, 6.6.3, 6.9).
const (
	tagNoSessions = 0x8001

	ccCreatePrimary = 0x131
	ccStartup       = 0x144
	ccShutdown      = 0x145
	ccCreate        = 0x153
	ccCreateLoaded  = 0x191

	rcInitialize  = 0x100
	rcFailure     = 0x101
	rcCommandSize = 0x142

	suClear = 0
	suState = 1
)

// errorResponse is a response that has only a header.
func errorResponse(rc uint32) []byte {
	b := make([]byte, 0, headerSize)
	b = binary.BigEndian.AppendUint16(b, tagNoSessions)
	b = binary.BigEndian.AppendUint32(b, headerSize)
	return binary.BigEndian.AppendUint32(b, rc)
}

// A Startup is the TPM2_Startup that a machine sends itself when it is powered on.
type Startup int

const (
	StartupNone Startup = iota
	StartupClear
	StartupState
)

// A Logger prints one line for each call. It is never given secrets or the
// bodies of commands.
type Logger func(format string, args ...any)

func words(w ...uint32) []byte {
	var b []byte
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
