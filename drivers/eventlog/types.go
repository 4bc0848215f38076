package eventlog

import "fmt"

// A Type is the type of an event (PFP, 10.4.1, "Event Types").
type Type uint32

// Event types (PFP, table "Events").
const (
	EVPrebootCert          Type = 0x00000000
	EVPostCode             Type = 0x00000001
	EVNoAction             Type = 0x00000003 // extends nothing
	EVSeparator            Type = 0x00000004
	EVAction               Type = 0x00000005
	EVEventTag             Type = 0x00000006
	EVSCRTMContents        Type = 0x00000007
	EVSCRTMVersion         Type = 0x00000008
	EVCPUMicrocode         Type = 0x00000009
	EVPlatformConfigFlags  Type = 0x0000000A
	EVTableOfDevices       Type = 0x0000000B
	EVCompactHash          Type = 0x0000000C
	EVIPL                  Type = 0x0000000D
	EVIPLPartitionData     Type = 0x0000000E
	EVNonhostCode          Type = 0x0000000F
	EVNonhostConfig        Type = 0x00000010
	EVNonhostInfo          Type = 0x00000011
	EVOmitBootDeviceEvents Type = 0x00000012
	EVPostCode2            Type = 0x00000013

	EVEFIVariableDriverConfig    Type = 0x80000001
	EVEFIVariableBoot            Type = 0x80000002
	EVEFIBootServicesApplication Type = 0x80000003
	EVEFIBootServicesDriver      Type = 0x80000004
	EVEFIRuntimeServicesDriver   Type = 0x80000005
	EVEFIGPTEvent                Type = 0x80000006
	EVEFIAction                  Type = 0x80000007
	EVEFIPlatformFirmwareBlob    Type = 0x80000008
	EVEFIHandoffTables           Type = 0x80000009
	EVEFIPlatformFirmwareBlob2   Type = 0x8000000A
	EVEFIHandoffTables2          Type = 0x8000000B
	EVEFIVariableBoot2           Type = 0x8000000C
	EVEFIGPTEvent2               Type = 0x8000000D
	EVEFIHCRTMEvent              Type = 0x80000010
	EVEFIVariableAuthority       Type = 0x800000E0
)

// String returns the TCG's name of the type, such as "EV_SEPARATOR", or its
// number.
func (t Type) String() string {
	switch t {
	case EVPrebootCert:
		return "EV_PREBOOT_CERT"
	case EVPostCode:
		return "EV_POST_CODE"
	case EVNoAction:
		return "EV_NO_ACTION"
	case EVSeparator:
		return "EV_SEPARATOR"
	case EVAction:
		return "EV_ACTION"
	case EVEventTag:
		return "EV_EVENT_TAG"
	case EVSCRTMContents:
		return "EV_S_CRTM_CONTENTS"
	case EVSCRTMVersion:
		return "EV_S_CRTM_VERSION"
	case EVCPUMicrocode:
		return "EV_CPU_MICROCODE"
	case EVPlatformConfigFlags:
		return "EV_PLATFORM_CONFIG_FLAGS"
	case EVTableOfDevices:
		return "EV_TABLE_OF_DEVICES"
	case EVCompactHash:
		return "EV_COMPACT_HASH"
	case EVIPL:
		return "EV_IPL"
	case EVIPLPartitionData:
		return "EV_IPL_PARTITION_DATA"
	case EVNonhostCode:
		return "EV_NONHOST_CODE"
	case EVNonhostConfig:
		return "EV_NONHOST_CONFIG"
	case EVNonhostInfo:
		return "EV_NONHOST_INFO"
	case EVOmitBootDeviceEvents:
		return "EV_OMIT_BOOT_DEVICE_EVENTS"
	case EVPostCode2:
		return "EV_POST_CODE2"
	case EVEFIVariableDriverConfig:
		return "EV_EFI_VARIABLE_DRIVER_CONFIG"
	case EVEFIVariableBoot:
		return "EV_EFI_VARIABLE_BOOT"
	case EVEFIBootServicesApplication:
		return "EV_EFI_BOOT_SERVICES_APPLICATION"
	case EVEFIBootServicesDriver:
		return "EV_EFI_BOOT_SERVICES_DRIVER"
	case EVEFIRuntimeServicesDriver:
		return "EV_EFI_RUNTIME_SERVICES_DRIVER"
	case EVEFIGPTEvent:
		return "EV_EFI_GPT_EVENT"
	case EVEFIAction:
		return "EV_EFI_ACTION"
	case EVEFIPlatformFirmwareBlob:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB"
	case EVEFIHandoffTables:
		return "EV_EFI_HANDOFF_TABLES"
	case EVEFIPlatformFirmwareBlob2:
		return "EV_EFI_PLATFORM_FIRMWARE_BLOB2"
	case EVEFIHandoffTables2:
		return "EV_EFI_HANDOFF_TABLES2"
	case EVEFIVariableBoot2:
		return "EV_EFI_VARIABLE_BOOT2"
	case EVEFIGPTEvent2:
		return "EV_EFI_GPT_EVENT2"
	case EVEFIHCRTMEvent:
		return "EV_EFI_HCRTM_EVENT"
	case EVEFIVariableAuthority:
		return "EV_EFI_VARIABLE_AUTHORITY"
	}
	return fmt.Sprintf("%#08x", uint32(t))
}
