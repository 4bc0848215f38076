package abi

import (
	"reflect"
	"testing"
)

// TestLayout pins sizes and offsets to those of Xen's headers for x86-64.
func TestLayout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v       any
		size    uintptr
		offsets map[string]uintptr
	}{
		{HvmParam{}, 16, map[string]uintptr{"Index": 4, "Value": 8}},
		{SchedPollArg{}, 24, map[string]uintptr{"NrPorts": 8, "Timeout": 16}},
		{AddToPhysmap{}, 24, map[string]uintptr{"Size": 2, "Space": 4, "Idx": 8, "Gpfn": 16}},
		{RemoveFromPhysmap{}, 16, map[string]uintptr{"Gpfn": 8}},
		{MemoryMap{}, 16, map[string]uintptr{"Buffer": 8}},
		{VcpuTimeInfo{}, 32, map[string]uintptr{"TscTimestamp": 8, "SystemTime": 16, "TscToSystemMul": 24, "TscShift": 28, "Flags": 29}},
		{VcpuInfo{}, 64, map[string]uintptr{"PendingSel": 8, "Time": 32}},
		{SharedInfo{}, 3088, map[string]uintptr{"EvtchnPend": 2048, "EvtchnMask": 2560, "WcVersion": 3072, "WcSec": 3076, "WcNsec": 3080, "WcSecHi": 3084}},
		{AllocUnbound{}, 8, map[string]uintptr{"RemoteDom": 2, "Port": 4}},
		{BindInterdomain{}, 12, map[string]uintptr{"RemotePort": 4, "LocalPort": 8}},
		{BindVirq{}, 12, map[string]uintptr{"Vcpu": 4, "Port": 8}},
		{EvtchnPort{}, 4, nil},
		{MapGrantRef{}, 32, map[string]uintptr{"Flags": 8, "Ref": 12, "Dom": 16, "Status": 18, "Handle": 20, "DevBusAddr": 24}},
		{UnmapGrantRef{}, 24, map[string]uintptr{"DevBusAddr": 8, "Handle": 16, "Status": 20}},
		{FlaskPeerSID{}, 40, map[string]uintptr{"Version": 4, "Port": 8, "SID": 12}},
		{FlaskContext{}, 40, map[string]uintptr{"Version": 4, "SID": 8, "Size": 12, "Buffer": 16}},
		{QueryGrantSize{}, 16, map[string]uintptr{"Frames": 4, "MaxFrames": 8, "Status": 12}},
	} {
		typ := reflect.TypeOf(c.v)
		if typ.Size() != c.size {
			t.Errorf("%s: %d bytes, want %d", typ.Name(), typ.Size(), c.size)
		}
		for name, want := range c.offsets {
			f, ok := typ.FieldByName(name)
			if !ok || f.Offset != want {
				t.Errorf("%s.%s at %d, want %d", typ.Name(), name, f.Offset, want)
			}
		}
	}
}
