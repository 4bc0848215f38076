package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"stubtpm/vtpm/tcg"
)

// ErrFiles is returned for files that no guest can be started from.
var ErrFiles = errors.New("launch: unsupported files")

// Files is what the toolstack starts a PVH guest from.
type Files struct {
	Kernel      []byte // kernel= of xl.cfg(5): a bzImage or an ELF program
	Initrd      []byte // ramdisk=, nil without one
	CommandLine string // cmdline=, or root= and extra=
}

// Predict returns the measurement of a guest that is started from files: what
// Measure returns for its memory. It lays the files out in memory as libxenguest of
// Xen 4.17 to 4.20 does for a PVH guest, and measures that.
//
// Predict returns ErrKernel for a kernel that cannot start as a PVH guest, is
// compressed with something else than gzip, bzip2, xz or zstd, or whose layout
// cannot be predicted, ErrFiles for an initrd or command line that no guest can be
// given or that does not fit into the guest's memory, and otherwise the errors of
// Measure.
func Predict(f Files, o Options, banks []tcg.TPMAlgID) (*Launch, error) {
	m, start, entry, err := layout(f)
	if err != nil {
		return nil, err
	}
	if m.end() > o.Memory<<20 {
		return nil, fmt.Errorf("%w: they fill memory up to %#x, more than %d MiB", ErrFiles, m.end(), o.Memory)
	}
	return Measure(m, start, entry, o, banks)
}

// layout returns the memory of a guest, as far as it is measured, and the addresses of
// its start info and of its first instruction. libxenguest (tools/libs/guest/xg_dom_core.c, xc_dom_build_image)
// puts one after another, on whole pages: the program, the modules if the program
// has no note MOD_START_PFN, the start info, and the modules if it has.
func layout(f Files) (m memory, start, entry uint64, err error) {
	b, err := unpackKernel(f.Kernel)
	if err != nil {
		return nil, 0, 0, err
	}
	p, err := loadProgram(b)
	if err != nil {
		return nil, 0, 0, err
	}
	if bytes.IndexByte([]byte(f.CommandLine), 0) >= 0 || len(f.CommandLine) > MaxCommandLine {
		return nil, 0, 0, fmt.Errorf("%w: a command line of more than %d bytes, or with a zero in it", ErrFiles, MaxCommandLine)
	}
	module, err := loadModule(f.Initrd)
	if err != nil {
		return nil, 0, 0, err
	}
	m = append(memory{{address: 0, size: p.end}}, p.segments...)
	next := roundUp(p.end)
	if !p.modulesLast {
		module.address = next
		next = roundUp(module.end())
	}
	start = next
	if p.modulesLast {
		module.address = start + startPages*pageSize
	}
	if module.end() > lowMemory || start > lowMemory-startPages*pageSize {
		return nil, 0, 0, fmt.Errorf("%w: they do not fit below 4 GiB", ErrFiles)
	}
	m = append(m, startInfo(start, f.CommandLine, module))
	if module.size > 0 {
		m = append(m, module)
	}
	return m, start, p.entry, nil
}

func roundUp(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

// startPages is more than the start info needs. How much it really has shows in the
// address of a module behind it only, which is not measured.
const startPages = 16

// startInfo returns struct hvm_start_info with what a guest's measurement depends
// on.
func startInfo(address uint64, line string, module segment) segment {
	le := binary.LittleEndian
	b := make([]byte, startSize, startSize+moduleSize+len(line)+1)
	le.PutUint32(b, startMagic)
	le.PutUint32(b[atVersion:], 1)
	if module.size > 0 {
		le.PutUint32(b[atModules:], 1)
		le.PutUint64(b[atModlist:], address+startSize)
	}
	b = le.AppendUint64(b, module.address)
	b = le.AppendUint64(b, module.size)
	b = append(b, make([]byte, moduleSize-16)...)
	le.PutUint64(b[atCmdline:], address+uint64(len(b)))
	b = append(b, line+"\x00"...)
	return segment{address, startPages * pageSize, bytes.NewReader(b), uint64(len(b))}
}

// loadModule returns the memory of an initrd, without an address. libxenguest
// unpacks a file that is compressed with gzip, and tells the guest the size of what
// it set aside for that (xc_dom_build_module).
func loadModule(file []byte) (segment, error) {
	if file == nil {
		return segment{}, nil
	}
	if len(file) == 0 {
		return segment{}, fmt.Errorf("%w: the initrd is empty", ErrFiles)
	}
	room := uint64(len(file))
	if bytes.HasPrefix(file, gzipMagic) && len(file) >= 6 {
		// The size that the file's last bytes state, and libxenguest's slack.
		size := uint64(binary.LittleEndian.Uint32(file[len(file)-4:])) + gunzipSlack
		b, err := unpack(file)
		if err == nil && uint64(len(b)) <= size && size <= maxUnpacked {
			file = b
			room = max(room, size)
		} else if size <= 1<<30 {
			return segment{}, fmt.Errorf("%w: the initrd begins like a gzip file but is none (%v), which libxenguest may load either way", ErrFiles, err)
		}
	}
	return segment{0, room, bytes.NewReader(file), uint64(len(file))}, nil
}

// gunzipSlack is how many bytes more than a gzip file states libxenguest sets aside.
const gunzipSlack = 16

// A memory is a guest's: zeros, and what segments put there, a later one over an
// earlier one.
type memory []segment

func (s segment) end() uint64 { return s.address + s.size }

// end returns the address of the first byte behind all segments.
func (m memory) end() uint64 {
	var end uint64
	for _, s := range m {
		end = max(end, s.end())
	}
	return end
}

// ReadAt implements io.ReaderAt.
func (m memory) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || uint64(at) > m.end() {
		return 0, io.ErrUnexpectedEOF
	}
	var err error
	if left := m.end() - uint64(at); uint64(len(b)) > left {
		b, err = b[:left], io.EOF
	}
	clear(b)
	for _, s := range m {
		from, to := max(s.address, uint64(at)), min(s.end(), uint64(at)+uint64(len(b)))
		if from >= to {
			continue
		}
		part := b[from-uint64(at) : to-uint64(at)]
		clear(part)
		if from -= s.address; from < s.length {
			part = part[:min(uint64(len(part)), s.length-from)]
			if n, err := s.data.ReadAt(part, int64(from)); n < len(part) {
				return 0, err
			}
		}
	}
	return len(b), err
}
