package hosted

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"

	"stubtpm/vtpm/tcg"
)

// A tpmInfo is what CMD_GET_INFO reports of the device.
type tpmInfo struct {
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
	infoProfiles      = 1 << 6
)

// infoJSON has the members in the order that clients which compare text expect.
type infoJSON struct {
	Specification *infoSpec  `json:"TPMSpecification,omitempty"`
	Attributes    *infoAttr  `json:"TPMAttributes,omitempty"`
	Features      *infoSizes `json:"TPMFeatures,omitempty"`

	Profiles []infoProfile `json:"AvailableProfiles,omitempty"`
}

type infoSpec struct {
	Family   string `json:"family"`
	Level    uint32 `json:"level"`
	Revision uint32 `json:"revision"`
}

type infoAttr struct {
	Manufacturer string `json:"manufacturer"`
	Version      string `json:"version"`
	Model        string `json:"model"`
}

type infoSizes struct {
	RSAKeySizes []uint16 `json:"RSAKeySizes"`
}

func (i tpmInfo) json(flags uint64) []byte {
	var out infoJSON
	if flags&infoSpecification != 0 {
		out.Specification = &infoSpec{"2.0", i.Level, i.Revision}
	}
	if flags&infoAttributes != 0 {
		m := []byte((i.Manufacturer + "\x00\x00\x00\x00")[:4])
		out.Attributes = &infoAttr{fmt.Sprintf("id:%08X", binary.BigEndian.Uint32(m)), fmt.Sprintf("id:%08X", i.Firmware), i.Model}
	}
	if flags&infoFeatures != 0 {
		out.Features = &infoSizes{i.RSAKeySizes}
	}
	if flags&infoProfiles != 0 {
		out.Profiles = availableProfiles()
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("hosted: internal error: " + err.Error())
	}
	return b
}

// Properties of the fixed group that a tpmInfo is read from (Part 2, 6.13).
const (
	ptLevel        = 0x101
	ptRevision     = 0x102
	ptManufacturer = 0x105
	ptFirmware1    = 0x10B
)

// discard is the store of a device whose state is not kept.
type discard struct{}

func (discard) Save([]byte) error { return nil }

// info describes the TPM, which may be without power. It asks a powered copy, so
// that the guest's TPM runs no command that the guest did not send.
func (m *Machine) info() (tpmInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	permanent, err := m.files.Load(BlobPermanent)
	if err != nil {
		return tpmInfo{}, err
	}
	return askInfo(m.open, permanent)
}

// askInfo asks a device that is dropped afterwards; without a permanent state it
// is a new one.
func askInfo(open Open, permanent []byte) (tpmInfo, error) {
	t, err := open(discard{}, permanent, nil)
	if err != nil {
		return tpmInfo{}, err
	}
	if rc := startup(t, ccStartup, suClear); rc != 0 {
		return tpmInfo{}, fmt.Errorf("TPM2_Startup answered 0x%X", rc)
	}
	return readInfo(t), nil
}

func readInfo(t TPM) tpmInfo {
	p := fixedProperties(t)
	m := binary.BigEndian.AppendUint32(nil, p[ptManufacturer])
	return tpmInfo{
		Level: p[ptLevel], Revision: p[ptRevision],
		Manufacturer: string(m), Firmware: p[ptFirmware1], Model: "stubtpm",
		RSAKeySizes: rsaSizes(t),
	}
}

// fixedProperties is TPM2_GetCapability(TPM_CAP_TPM_PROPERTIES, PT_FIXED).
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

type infoProfile struct {
	Name        string `json:"Name"`
	Description string `json:"Description"`
}

// availableProfiles are this project's profiles and swtpm's names for the
// default one, which swtpm's callers ask for.
func availableProfiles() []infoProfile {
	list := []infoProfile{
		{"default-v1", "The profile of a TPM for which none was asked."},
		{"null", "The same; swtpm's name for a TPM that was made without a profile."},
		{"custom", "The same; lists of algorithms or commands are not taken."},
	}
	for _, n := range tcg.ProfileNames() {
		list = append(list, infoProfile{n, "See docs/profiles.md."})
	}
	return list
}
