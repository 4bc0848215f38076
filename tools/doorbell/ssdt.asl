// The TPM's device. Its method _DSM rings the doorbell (TCG ACPI Specification 1.4,
// section 8, "ACPI Start"): function 1 has the TPM look at its control area, and returns
// 0.
DefinitionBlock ("", "SSDT", 2, "STBTPM", "CRB", 1)
{
    Scope (\_SB)
    {
        Device (TPM)
        {
            Name (_HID, "MSFT0101")
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate () {
                Memory32Fixed (ReadWrite, 0xFED45000, 0x3000)
            })
            OperationRegion (BELL, SystemIO, 0x5B0, 4)
            Field (BELL, DWordAcc, NoLock, Preserve) { RING, 32 }
            Method (_DSM, 4, Serialized)
            {
                If (LEqual (Arg0, ToUUID ("6bbf6cab-5463-4714-b7cd-f0203c0368d4")))
                {
                    If (LEqual (Arg2, Zero)) { Return (Buffer () { 3 }) }
                    If (LEqual (Arg2, One)) { Store (One, RING) Return (Zero) }
                }
                Return (Buffer () { 0 })
            }
        }
    }
}
