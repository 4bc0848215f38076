package engine

// MinBufferSize is the smallest size in bytes that SetBufferSize takes. Every
// response fits.
const MinBufferSize = 2808

// SetBufferSize tells the device that its interface carries commands and
// responses of at most n bytes: TPM_PT_MAX_COMMAND_SIZE and
// TPM_PT_MAX_RESPONSE_SIZE are n, and a longer command is answered with
// TPM_RC_COMMAND_SIZE. It is no part of the state; a new Device has
// MaxCommandSize. A size beyond MinBufferSize and MaxCommandSize is set to the
// nearest of them.
func (d *Device) SetBufferSize(n uint32) {
	d.BufferSize.Store(min(max(n, MinBufferSize), MaxCommandSize))
}
