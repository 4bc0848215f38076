package launch

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
)

// Measurer is the name that the H-CRTM measures: the program that measures a guest,
// and the version of what it measures into which PCR. Version is that of the
// measurement's code, for EV_S_CRTM_VERSION; it changes whenever a guest's PCRs may.
const (
	Measurer = "stubtpm-host 1"
	Version  = "stubtpm-host 1"
)

// PCRs, by the convention of the PFP and the UAPI group's registry.
const (
	pcrFirmware = 0
	pcrPlatform = 1
	pcrLoader   = 4
	separators  = 8 // PCRs 0 to 7
)

// ErrOptions is returned for Options that cannot be measured.
var ErrOptions = errors.New("launch: invalid options")

// Options is what the toolstack was told about a guest besides its files.
type Options struct {
	Memory uint64 // MiB, as in memory= of xl.cfg(5)
	VCPUs  uint32 // as in vcpus=
	UUID   string // of the domain: 36 characters, in lower case
}

// text returns the options as PCR 1 measures them.
func (o Options) text() (string, error) {
	if o.Memory == 0 || o.VCPUs == 0 || !validUUID(o.UUID) {
		return "", fmt.Errorf("%w: memory %d MiB, %d vcpus, uuid %q", ErrOptions, o.Memory, o.VCPUs, o.UUID)
	}
	return fmt.Sprintf("memory=%d vcpus=%d uuid=%s", o.Memory, o.VCPUs, o.UUID), nil
}

func validUUID(s string) bool {
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 36
}

// A Launch is the measurement of a guest.
type Launch struct {
	// Log has all that the measurer extends, in this order. The first two events are
	// EV_NO_ACTION, which extends nothing, and the H-CRTM, which the TPM extends
	// itself when Measurer is written to it between _TPM_Hash_Start and _TPM_Hash_End.
	Log *eventlog.Log
	// Program is the SHA-256 digest of the program as loaded in memory, behind the
	// text that says where it lies and is entered, which is the event's data. In a bank
	// of SHA-256 it is also the digest that PCR 4 is extended with.
	Program [32]byte
	// Start is where in memory the parts were found.
	Start *StartInfo
	// ProgramAddress is the address of the program's first page. It ends at
	// Start.Address.
	ProgramAddress uint64
}

// Measure measures a guest that was built and has not run. mem reads the memory at
// the guest's physical addresses. start is the address of its start info and entry
// that of its first instruction, from the registers EBX and EIP of the first virtual
// CPU. banks are the TPM's.
//
// Measure returns ErrStartInfo for a memory that ReadStartInfo refuses or that has
// only zeros before the start info, and for an entry outside the program; ErrOptions;
// eventlog.ErrLog for banks that eventlog.New refuses; and the errors of mem.
func Measure(mem io.ReaderAt, start, entry uint64, o Options, banks []tcg.TPMAlgID) (*Launch, error) {
	return measure(digest, mem, start, entry, o, banks)
}

// A digester is what digest is.
type digester func(text []byte, mem io.ReaderAt, address, size uint64, algs []tcg.TPMAlgID) ([]eventlog.Digest, error)

// measure is Measure.
func measure(digest digester, mem io.ReaderAt, start, entry uint64, o Options, banks []tcg.TPMAlgID) (*Launch, error) {
	text, err := o.text()
	if err != nil {
		return nil, err
	}
	log, err := eventlog.New(banks...)
	if err != nil {
		return nil, err
	}
	l := &Launch{Log: log}
	if l.Start, err = ReadStartInfo(mem, start); err != nil {
		return nil, err
	}
	l.add(pcrFirmware, eventlog.EVNoAction, eventlog.Zero(banks), eventlog.StartupLocality(banks, 4).Data)
	l.add(pcrFirmware, eventlog.EVEFIHCRTMEvent, eventlog.Hash(banks, []byte(Measurer)), []byte("HCRTM"))
	l.addData(pcrFirmware, eventlog.EVSCRTMVersion, eventlog.UTF16(Version))
	l.addData(pcrPlatform, eventlog.EVPlatformConfigFlags, []byte(text))
	if err := l.addProgram(digest, mem, entry); err != nil {
		return nil, err
	}
	if err := l.addFiles(digest, mem); err != nil {
		return nil, err
	}
	for pcr := range uint32(separators) {
		l.Log.Events = append(l.Log.Events, eventlog.Separator(banks, pcr))
	}
	return l, nil
}

func (l *Launch) add(pcr uint32, t eventlog.Type, d []eventlog.Digest, data []byte) {
	l.Log.Events = append(l.Log.Events, eventlog.Event{PCR: pcr, Type: t, Digests: d, Data: data})
}

// addData adds an event whose data is what is measured.
func (l *Launch) addData(pcr uint32, t eventlog.Type, data []byte) {
	l.add(pcr, t, eventlog.Hash(l.Log.Algs(), data), data)
}

// addProgram measures the memory before the start info, whatever it holds, and where
// it lies and is entered: the same bytes do something else from another address on.
func (l *Launch) addProgram(digest digester, mem io.ReaderAt, entry uint64) error {
	first, err := firstPage(mem, l.Start.Address)
	if err != nil {
		return err
	}
	if entry < first || entry >= l.Start.Address {
		return fmt.Errorf("%w: entry at %#x, outside the program at %#x to %#x", ErrStartInfo, entry, first, l.Start.Address)
	}
	l.ProgramAddress = first
	text := fmt.Appendf(nil, "kernel as loaded at %#x, %d bytes, entered at %#x", first, l.Start.Address-first, entry)
	algs := l.Log.Algs()
	has := slices.Contains(algs, tcg.TPMAlgSHA256)
	if !has {
		algs = append(algs, tcg.TPMAlgSHA256)
	}
	d, err := digest(text, mem, first, l.Start.Address-first, algs)
	if err != nil {
		return err
	}
	for _, d := range d {
		if d.Alg == tcg.TPMAlgSHA256 {
			l.Program = [32]byte(d.Sum)
		}
	}
	if !has {
		d = d[:len(d)-1]
	}
	l.add(pcrLoader, eventlog.EVPostCode, d, text)
	return nil
}

// addFiles measures the command line and the modules. Without a command line the
// guest has an empty one.
func (l *Launch) addFiles(digest digester, mem io.ReaderAt) error {
	algs, line := l.Log.Algs(), l.Start.CommandLine
	l.Log.Events = append(l.Log.Events, eventlog.LoadOptions(algs, line))
	for _, m := range l.Start.Modules {
		d, err := digest(nil, mem, m.Address, m.Size, algs)
		if err != nil {
			return err
		}
		l.Log.Events = append(l.Log.Events, eventlog.Initrd(d))
	}
	l.Log.Events = append(l.Log.Events, eventlog.CommandLine(algs, line))
	return nil
}
