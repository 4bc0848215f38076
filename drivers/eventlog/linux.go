package eventlog

import (
	"encoding/binary"
	"unicode/utf16"

	"stubtpm/vtpm/tcg"
)

// Tags of events of type EVEventTag, and their data: those of Linux's EFI stub
// (drivers/firmware/efi/libstub).
const (
	initrdTag       = 0x8F3B22EC
	loadOptionsTag  = 0x8F3B22ED
	initrdName      = "Linux initrd\x00"
	loadOptionsName = "LOADED_IMAGE::LoadOptions\x00"
)

// PCRs that Linux's EFI stub and systemd-stub measure into.
const (
	pcrFiles   = 9
	pcrOptions = 12
)

// LoadOptions returns the event with which Linux's EFI stub measures the command line
// in PCR 9.
func LoadOptions(algs []tcg.TPMAlgID, line string) Event {
	return Event{PCR: pcrFiles, Type: EVEventTag, Digests: Hash(algs, UTF16(line)), Data: tagged(loadOptionsTag, loadOptionsName)}
}

// Initrd returns the event with which Linux's EFI stub measures an initrd in PCR 9.
// digests are those of the file.
func Initrd(digests []Digest) Event {
	return Event{PCR: pcrFiles, Type: EVEventTag, Digests: digests, Data: tagged(initrdTag, initrdName)}
}

// CommandLine returns the event with which systemd-stub measures a command line that
// does not come from a unified kernel image, in PCR 12.
func CommandLine(algs []tcg.TPMAlgID, line string) Event {
	b := UTF16(line)
	return Event{PCR: pcrOptions, Type: EVIPL, Digests: Hash(algs, b), Data: b}
}

// tagged returns a TCG_PCClientTaggedEvent.
func tagged(id uint32, data string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// UTF16 returns text that is UTF-8 in UTF-16, little-endian, with a zero at its end, as
// UEFI has strings. It makes no difference between bytes that are not UTF-8.
func UTF16(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
