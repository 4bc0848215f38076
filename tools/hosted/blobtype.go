package hosted

// A BlobType names one part of a TPM's state, by the number it has on the
// swtpm control channel (swtpm_ioctls(3), CMD_GET_STATEBLOB).
type BlobType uint32

const (
	BlobPermanent BlobType = 1
	BlobVolatile  BlobType = 2
	BlobSaveState BlobType = 3 // of TPM 1.2 only: always empty here
)

// maxBlob bounds a state blob, in bytes. It is far above any state of the
// device and keeps a client from filling the memory.
const maxBlob = 4 << 20
