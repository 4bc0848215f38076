package service

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// What the campaign's guest does with its TPM, and how it looks at it.

const (
	nvCounter  tpm2.TPMHandle = 0x01800001 // a counter
	nvOrdinary tpm2.TPMHandle = 0x01800002 // 64 bytes
	nvExtend   tpm2.TPMHandle = 0x01800003 // an extend index
	nvBits     tpm2.TPMHandle = 0x01800004 // 64 bits
	nvSecret   tpm2.TPMHandle = 0x01800005 // counted by the dictionary attack logic
	nvComes    tpm2.TPMHandle = 0x01800010 // comes and goes
	persistent tpm2.TPMHandle = 0x81000001 // comes and goes
	keptMLDSA  tpm2.TPMHandle = 0x81000002 // an ML-DSA-65 key, comes and goes
)

func define(tpm transport.TPM, h tpm2.TPMHandle, kind tpm2.TPMNT, size uint16, guarded bool) error {
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner,
		Auth: tpm2.TPM2BAuth{Buffer: []byte("auth")},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, DataSize: size,
			Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthRead: true, NT: kind, NoDA: !guarded}})}.Execute(tpm)
	return err
}

func named(tpm transport.TPM, h tpm2.TPMHandle) (tpm2.NamedHandle, error) {
	p, err := tpm2.NVReadPublic{NVIndex: h}.Execute(tpm)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	return tpm2.NamedHandle{Handle: h, Name: p.NVName}, nil
}

// defineIndices makes the indices that are always there, written once.
func defineIndices(tpm transport.TPM) error {
	for _, i := range []struct {
		h    tpm2.TPMHandle
		kind tpm2.TPMNT
		size uint16
	}{{nvCounter, tpm2.TPMNTCounter, 8}, {nvOrdinary, tpm2.TPMNTOrdinary, 64}, {nvExtend, tpm2.TPMNTExtend, 32},
		{nvBits, tpm2.TPMNTBits, 8}, {nvSecret, tpm2.TPMNTOrdinary, 8}} {
		if err := define(tpm, i.h, i.kind, i.size, i.h == nvSecret); err != nil {
			return fmt.Errorf("define %x: %w", i.h, err)
		}
	}
	for n := range 4 {
		if err := guestCommands[n].run(tpm, 1); err != nil {
			return fmt.Errorf("%s: %w", guestCommands[n].name, err)
		}
	}
	return write(tpm, nvSecret, []byte("12345678"))
}

func write(tpm transport.TPM, h tpm2.TPMHandle, b []byte) error {
	n, err := named(tpm, h)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWrite{AuthHandle: tpm2.TPMRHOwner, NVIndex: n, Data: tpm2.TPM2BMaxNVBuffer{Buffer: b}}.Execute(tpm)
	return err
}

// ownerNV runs a command on an index by the owner's empty password: those that
// go-tpm does not have.
func ownerNV(tpm transport.TPM, code uint32, h tpm2.TPMHandle, parameters []byte) error {
	b := []byte{0x80, 0x02, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, code)
	b = binary.BigEndian.AppendUint32(b, uint32(tpm2.TPMRHOwner))
	b = binary.BigEndian.AppendUint32(b, uint32(h))
	b = append(b, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0)
	b = append(b, parameters...)
	binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	r, err := tpm.Send(b)
	if err != nil {
		return err
	}
	if rc := binary.BigEndian.Uint32(r[6:]); rc != 0 {
		return tpm2.TPMRC(rc)
	}
	return nil
}

// evictMLDSA makes an ML-DSA-65 key persistent, which takes the place of two objects, or
// takes it away. go-tpm has no such keys.
func evictMLDSA(tpm transport.TPM, n int) error {
	const evictControl, noObject = 0x120, tpm2.TPMRC(0x28B) // TPM_RC_HANDLE, handle 2
	handle := binary.BigEndian.AppendUint32(nil, uint32(keptMLDSA))
	err := ownerNV(tpm, evictControl, keptMLDSA, handle)
	if rc := tpm2.TPMRC(0); !errors.As(err, &rc) || rc != noObject {
		return err
	}
	create := []byte{0x80, 0x02, 0, 0, 0, 0, 0, 0, 1, 0x31, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0,
		0, 4, 0, 0, 0, 0, // no authorization value
		0, 15, 0, 0xA1, 0, 0x0B, 0, 4, 4, 0x72, 0, 0, 0, 2, 0, 0, 0, // signs; ML-DSA-65, no external mu
		0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(create[2:], uint32(len(create)))
	r, err := tpm.Send(create)
	if err != nil {
		return err
	}
	if rc := binary.BigEndian.Uint32(r[6:]); rc != 0 {
		return tpm2.TPMRC(rc)
	}
	key := tpm2.TPMHandle(binary.BigEndian.Uint32(r[10:]))
	defer tpm2.FlushContext{FlushHandle: key}.Execute(tpm)
	return ownerNV(tpm, evictControl, key, handle)
}

// A guestCommand changes the TPM. The same one on the same state with the same
// number gives the same state.
type guestCommand struct {
	name   string
	run    func(tpm transport.TPM, n int) error
	counts bool // changes the count of failed tries only
}

var guestCommands = []guestCommand{
	{name: "NV_Increment", run: func(tpm transport.TPM, n int) error {
		h, err := named(tpm, nvCounter)
		if err != nil {
			return err
		}
		_, err = tpm2.NVIncrement{AuthHandle: tpm2.TPMRHOwner, NVIndex: h}.Execute(tpm)
		return err
	}},
	{name: "NV_Write", run: func(tpm transport.TPM, n int) error {
		return write(tpm, nvOrdinary, bytes.Repeat([]byte{byte(n)}, 64))
	}},
	{name: "NV_Extend", run: func(tpm transport.TPM, n int) error {
		return ownerNV(tpm, 0x136, nvExtend, []byte{0, 1, byte(n)})
	}},
	{name: "NV_SetBits", run: func(tpm transport.TPM, n int) error {
		return ownerNV(tpm, 0x135, nvBits, binary.BigEndian.AppendUint64(nil, 1<<(n%64)))
	}},
	{name: "NV_DefineSpace or NV_UndefineSpace", run: func(tpm transport.TPM, n int) error {
		h, err := named(tpm, nvComes)
		if err != nil {
			return define(tpm, nvComes, tpm2.TPMNTOrdinary, 2000, false)
		}
		_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: h}.Execute(tpm)
		return err
	}},
	{name: "EvictControl", run: func(tpm transport.TPM, n int) error {
		if p, err := (tpm2.ReadPublic{ObjectHandle: persistent}).Execute(tpm); err == nil {
			_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: tpm2.NamedHandle{Handle: persistent, Name: p.Name},
				PersistentHandle: persistent}.Execute(tpm)
			return err
		}
		k, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
		if err != nil {
			return err
		}
		defer tpm2.FlushContext{FlushHandle: k.ObjectHandle}.Execute(tpm)
		_, err = tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: tpm2.NamedHandle{Handle: k.ObjectHandle, Name: k.Name},
			PersistentHandle: persistent}.Execute(tpm)
		return err
	}},
	{name: "EvictControl of an ML-DSA key", run: evictMLDSA},
	{name: "a failed authorization", counts: true, run: func(tpm transport.TPM, n int) error {
		h, err := named(tpm, nvSecret)
		if err != nil {
			return err
		}
		_, err = tpm2.NVRead{AuthHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
			NVIndex: h, Size: 8}.Execute(tpm)
		if err == nil {
			return fmt.Errorf("a wrong password was taken")
		}
		if strings.Contains(err.Error(), "TPM_RC_AUTH_FAIL") || strings.Contains(err.Error(), "TPM_RC_LOCKOUT") {
			return nil
		}
		return err
	}},
}

// observe reads all that the guest's commands change, as text; errors are part
// of it only where an index or object is not there.
func observe(tpm transport.TPM) (string, error) {
	var b strings.Builder
	for _, h := range []tpm2.TPMHandle{nvCounter, nvOrdinary, nvExtend, nvBits, nvSecret} {
		n, err := named(tpm, h)
		if err != nil {
			return "", fmt.Errorf("index %x: %w", h, err)
		}
		size := map[tpm2.TPMHandle]uint16{nvOrdinary: 64, nvExtend: 32}[h]
		if size == 0 {
			size = 8
		}
		r, err := tpm2.NVRead{AuthHandle: tpm2.TPMRHOwner, NVIndex: n, Size: size}.Execute(tpm)
		if err != nil {
			return "", fmt.Errorf("index %x: %w", h, err)
		}
		fmt.Fprintf(&b, "%x=%x ", uint32(h), r.Data.Buffer)
	}
	for _, first := range []tpm2.TPMHandle{0x01000000, 0x81000000} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: uint32(first), PropertyCount: 64}.Execute(tpm)
		if err != nil {
			return "", err
		}
		handles, err := r.CapabilityData.Data.Handles()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "handles %x ", handles.Handle)
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		return "", err
	}
	p, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "failed tries %d", p.TPMProperty[0].Value)
	return b.String(), nil
}

// resetCount is how often the TPM was reset: it never goes back.
func resetCount(tpm transport.TPM) (uint32, error) {
	r, err := tpm2.ReadClock{}.Execute(tpm)
	if err != nil {
		return 0, err
	}
	return r.CurrentTime.ClockInfo.ResetCount, nil
}
