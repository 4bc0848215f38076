package uki

import (
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// PCRs that an EFI program is measured into.
const (
	pcrLoader = 4  // the whole program
	pcrKernel = 11 // the sections of a UKI
)

// measured lists the sections of a UKI that are measured, in this order, which is
// that of systemd's UnifiedSection. Section .pcrsig is not measured: it signs the
// result. Before version 254, systemd-stub and systemd-measure did not know
// .uname and .sbat.
var measured = []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw"}

// Unified reports whether the image is a UKI: it has a section .linux. It returns
// ErrImage for one with profiles, as only one of them would be measured.
func (i *Image) Unified() (bool, error) {
	linux, err := i.Section(".linux")
	if err != nil {
		return false, err
	}
	if profile, err := i.Section(".profile"); err != nil || profile != nil {
		return false, fmt.Errorf("%w: profiles are not supported", ErrImage)
	}
	return linux != nil, nil
}

// Sections returns the events of a UKI in PCR 11: for each section its name, with a
// zero at its end, and its contents. Before a program of the guest extends it, PCR 11
// has the value that systemd-measure calculates with --phase=: for the same sections.
// It returns ErrImage for an image that is not a UKI, or that Section refuses.
func (i *Image) Sections(algs []tcg.TPMAlgID) ([]eventlog.Event, error) {
	switch ok, err := i.Unified(); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("%w: no section .linux", ErrImage)
	}
	stub, err := i.stubVersion()
	if err != nil {
		return nil, err
	}
	var events []eventlog.Event
	for _, name := range measured {
		r, err := i.Section(name)
		if err != nil {
			return nil, err
		}
		if r == nil || stub < 254 && (name == ".uname" || name == ".sbat") {
			continue
		}
		contents, err := digest(algs, r)
		if err != nil {
			return nil, err
		}
		for _, d := range [][]eventlog.Digest{eventlog.Hash(algs, []byte(name+"\x00")), contents} {
			events = append(events, eventlog.Event{PCR: pcrKernel, Type: eventlog.EVIPL, Digests: d, Data: eventlog.UTF16(name)})
		}
	}
	return events, nil
}

// stubVersion returns the version of systemd-stub that the image begins with, as its
// section .sdmagic states it, and the largest number if the image was made with
// another stub.
func (i *Image) stubVersion() (int, error) {
	r, err := i.Section(".sdmagic")
	if err != nil || r == nil {
		return math.MaxInt, err
	}
	b := make([]byte, min(r.Size(), 64))
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return 0, fmt.Errorf("uki: %w", err)
	}
	version := math.MaxInt
	fmt.Sscanf(string(b), "#### LoaderInfo: systemd-stub %d", &version)
	return version, nil
}

// Authenticode returns the hash of the image that its signatures sign, and that
// firmware measures. A file whose size is no multiple of 8 bytes is padded with zeros,
// as programs that sign it do.
func (i *Image) Authenticode(algs []tcg.TPMAlgID) ([]eventlog.Digest, error) {
	var parts []*io.SectionReader
	for _, s := range i.hashed {
		parts = append(parts, io.NewSectionReader(i.file, s.from, s.to-s.from))
	}
	parts = append(parts, io.NewSectionReader(zeros{}, 0, -i.size&7))
	return digest(algs, parts...)
}

// Application returns the event with which firmware measures an EFI program that it
// starts, in PCR 4. path is where it was found, such as \EFI\Linux\a.efi; it is for
// the log alone.
func (i *Image) Application(algs []tcg.TPMAlgID, path string) (eventlog.Event, error) {
	d, err := i.Authenticode(algs)
	if err != nil {
		return eventlog.Event{}, err
	}
	return eventlog.Event{PCR: pcrLoader, Type: eventlog.EVEFIBootServicesApplication, Digests: d, Data: i.loadEvent(path)}, nil
}

// loadEvent returns a UEFI_IMAGE_LOAD_EVENT (PFP, 10.2.3), without addresses: location
// in memory, size, address at link time, size of the device path, device path. That
// has a media device path of a file (UEFI, 10.3.5.4) and an end.
func (i *Image) loadEvent(path string) []byte {
	name := eventlog.UTF16(path)
	node := append([]byte{4, 4, byte(len(name) + 4), byte((len(name) + 4) >> 8)}, name...)
	node = append(node, 0x7F, 0xFF, 4, 0)
	var b []byte
	for _, v := range []uint64{0, uint64(i.size), 0, uint64(len(node))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, node...)
}

// digest hashes parts of a file, one after another. Each byte is read once. A file that
// ends before a part does is an error.
func digest(algs []tcg.TPMAlgID, parts ...*io.SectionReader) ([]eventlog.Digest, error) {
	var hashes []hash.Hash
	var all []io.Writer
	for _, a := range algs {
		h := tpmcrypto.MustHash(a)
		hashes, all = append(hashes, h), append(all, h)
	}
	w, buffer := io.MultiWriter(all...), make([]byte, 1<<18)
	for _, p := range parts {
		n, err := io.CopyBuffer(w, struct{ io.Reader }{p}, buffer)
		if err == nil && n != p.Size() {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("uki: %w", err)
		}
	}
	var digests []eventlog.Digest
	for i, h := range hashes {
		digests = append(digests, eventlog.Digest{Alg: algs[i], Sum: h.Sum(nil)})
	}
	return digests, nil
}

// zeros is a file of zeros without end.
type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}
