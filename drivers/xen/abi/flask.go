package abi

// XSMOp is the hypercall of the Xen security module (public/xen.h).
const XSMOp = 27

// Commands of XSMOp if the module is FLASK (public/xsm/flask_op.h).
const (
	FlaskVersion      = 1 // XEN_FLASK_INTERFACE_VERSION
	FlaskSIDToContext = 5
	FlaskGetPeerSID   = 23
)

// FlaskPeerSID is struct xen_flask_op with struct xen_flask_peersid in it.
type FlaskPeerSID struct {
	Cmd     uint32
	Version uint32
	Port    uint32
	SID     uint32 // out
	_       [24]byte
}

// FlaskContext is struct xen_flask_op with struct xen_flask_sid_context in it.
type FlaskContext struct {
	Cmd     uint32
	Version uint32
	SID     uint32
	Size    uint32 // of the buffer; out: of the text
	Buffer  uint64 // address
	_       [16]byte
}
