//go:build tamago

package hvm

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"stubtpm/drivers/xen"
	"stubtpm/drivers/xen/abi"
)

// maxLabel is the size in bytes of the longest label that is read.
const maxLabel = 256

// peerSID and context pass the only argument of XSMOp, an address, in the place of
// other hypercalls' operation. They must not be preempted while they hold the
// address as a number, because a stack may move.
//
//go:nosplit
func peerSID(op *abi.FlaskPeerSID) int64 {
	return hypercall(abi.XSMOp, uint64(uintptr(unsafe.Pointer(op))), nil, 0)
}

//go:nosplit
func context(op *abi.FlaskContext, b *byte) int64 {
	op.Buffer = uint64(uintptr(unsafe.Pointer(b)))
	return hypercall(abi.XSMOp, uint64(uintptr(unsafe.Pointer(op))), nil, 0)
}

// PeerLabel implements xen.Labels.
func (e *Events) PeerLabel(port xen.Port) (string, error) {
	p := abi.FlaskPeerSID{Cmd: abi.FlaskGetPeerSID, Version: abi.FlaskVersion, Port: uint32(port)}
	err := check(peerSID(&p))
	if errors.Is(err, Errno(38)) {
		return "", xen.ErrNoPolicy // Xen was built without XSM, or uses the default module
	}
	if err != nil {
		return "", fmt.Errorf("label of the peer at port %d: %w", port, err)
	}
	b := make([]byte, maxLabel)
	c := abi.FlaskContext{Cmd: abi.FlaskSIDToContext, Version: abi.FlaskVersion, SID: p.SID, Size: maxLabel}
	err = check(context(&c, &b[0]))
	runtime.KeepAlive(b)
	if err != nil {
		return "", fmt.Errorf("label %d: %w", p.SID, err)
	}
	label, _, _ := bytes.Cut(b[:min(c.Size, maxLabel)], []byte{0})
	return string(label), nil
}
