package hosted

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"
)

// Info is what CMD_GET_INFO tells of the device.
type Info struct {
	Level, Revision uint32 // of the specification; the revision times 100
	Manufacturer    string // 4 characters
	Firmware        uint32 // upper half of the firmware version
	Model           string
	RSAKeySizes     []uint16
}

// Bits of the request (TPMLIB_GetInfo(3)).
const (
	infoSpecification = 1 << 0
	infoAttributes    = 1 << 1
	infoFeatures      = 1 << 2
)

func (i Info) json(flags uint64) []byte {
	out := map[string]any{}
	if flags&infoSpecification != 0 {
		out["TPMSpecification"] = map[string]any{"family": "2.0", "level": i.Level, "revision": i.Revision}
	}
	if flags&infoAttributes != 0 {
		m := []byte((i.Manufacturer + "\x00\x00\x00\x00")[:4])
		out["TPMAttributes"] = map[string]any{
			"manufacturer": fmt.Sprintf("id:%08X", binary.BigEndian.Uint32(m)),
			"version":      fmt.Sprintf("id:%08X", i.Firmware),
			"model":        i.Model,
		}
	}
	if flags&infoFeatures != 0 {
		out["TPMFeatures"] = map[string]any{"RSAKeySizes": i.RSAKeySizes}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("hosted: internal error: " + err.Error())
	}
	return b
}

// Properties of the fixed group that Info is read from (Part 2, 6.13).
const (
	ptLevel        = 0x101
	ptRevision     = 0x102
	ptManufacturer = 0x105
	ptFirmware1    = 0x10B
)

// info asks the TPM for its properties; without power it knows the model only.
func (m *Machine) info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tpm == nil {
		return Info{Model: "stubtpm"}
	}
	return readInfo(m.tpm)
}

func readInfo(t TPM) Info {
	p := fixedProperties(t)
	m := binary.BigEndian.AppendUint32(nil, p[ptManufacturer])
	return Info{
		Level: p[ptLevel], Revision: p[ptRevision],
		Manufacturer: string(m), Firmware: p[ptFirmware1], Model: "stubtpm",
		RSAKeySizes: rsaSizes(t),
	}
}

// fixedProperties is TPM2_GetCapability(TPM_CAP_TPM_PROPERTIES, PT_FIXED). A
// device before TPM2_Startup may refuse; then the map is empty.
func fixedProperties(t TPM) map[uint32]uint32 {
	cmd := words(0x80010000, 0x00160000, 0x017A0000, 0x00060000, 0x01000000, 0x00400000)[:22]
	rsp := t.Execute(0, cmd)
	out := map[uint32]uint32{}
	if len(rsp) < headerSize+9 || binary.BigEndian.Uint32(rsp[6:]) != 0 {
		return out
	}
	list := rsp[headerSize+9:] // after moreData, capability, count
	for ; len(list) >= 8; list = list[8:] {
		out[binary.BigEndian.Uint32(list)] = binary.BigEndian.Uint32(list[4:])
	}
	return out
}

// rsaSizes asks by TPM2_TestParms which RSA key sizes the device has.
func rsaSizes(t TPM) (sizes []uint16) {
	for _, bits := range []uint16{1024, 2048, 3072, 4096} {
		cmd := words(0x80010000, 0)[:6]
		cmd = binary.BigEndian.AppendUint32(cmd, 0x18A) // TPM_CC_TestParms
		for _, v := range []uint16{1 /* RSA */, 0x10 /* symmetric: NULL */, 0x10 /* scheme: NULL */, bits, 0, 0} {
			cmd = binary.BigEndian.AppendUint16(cmd, v)
		}
		binary.BigEndian.PutUint32(cmd[2:], uint32(len(cmd)))
		rsp := t.Execute(0, cmd)
		if len(rsp) >= headerSize && binary.BigEndian.Uint32(rsp[6:]) == 0 {
			sizes = append(sizes, bits)
		}
	}
	sort.Slice(sizes, func(i, j int) bool { return sizes[i] < sizes[j] })
	return sizes
}
