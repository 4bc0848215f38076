package launch

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// ErrKernel is returned for a kernel file that cannot be predicted.
var ErrKernel = errors.New("launch: unsupported kernel")

// maxUnpacked is the largest size in bytes of an unpacked file. libxenguest takes up
// to 1 GiB (XC_DOM_DECOMPRESS_MAX).
const maxUnpacked = 1 << 29

// unpackKernel returns the ELF program in a kernel file as libxenguest finds it: the
// file, or what it holds compressed with gzip, or the payload of a bzImage.
func unpackKernel(file []byte) ([]byte, error) {
	if bytes.HasPrefix(file, gzipMagic) {
		b, err := unpack(file)
		if err != nil {
			return nil, err
		}
		file = b
	}
	if bytes.HasPrefix(file, []byte("\x7fELF")) {
		return file, nil
	}
	payload, err := bzImagePayload(file)
	if err != nil {
		return nil, err
	}
	return unpack(payload)
}

// Offsets in the setup header of a bzImage (Documentation/arch/x86/boot.rst).
const (
	atSetupSects    = 0x1F1
	atHeaderMagic   = 0x202
	atHeaderVersion = 0x206
	atPayload       = 0x248
	headerEnd       = 0x250
)

// bzImagePayload returns the compressed ELF program of a bzImage. Its last four bytes
// are the unpacked size; they are part of the stream for gzip, and left out for
// others.
func bzImagePayload(file []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(file) < headerEnd || string(file[atHeaderMagic:][:4]) != "HdrS" {
		return nil, fmt.Errorf("%w: neither a bzImage nor an ELF program", ErrKernel)
	}
	if v := le.Uint16(file[atHeaderVersion:]); v < 0x208 {
		return nil, fmt.Errorf("%w: boot protocol %#x is older than 2.08", ErrKernel, v)
	}
	from := (uint64(file[atSetupSects])+1)*512 + uint64(le.Uint32(file[atPayload:]))
	size := uint64(le.Uint32(file[atPayload+4:]))
	if from > uint64(len(file)) || size > uint64(len(file))-from || size < 4 {
		return nil, fmt.Errorf("%w: the payload, %d bytes at %#x, is outside the file", ErrKernel, size, from)
	}
	payload := file[from:][:size]
	if !bytes.HasPrefix(payload, gzipMagic) {
		payload = payload[:size-4]
	}
	return payload, nil
}

var gzipMagic = []byte("\x1f\x8b")

// unpack returns what the first stream in b holds.
func unpack(b []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch {
	case bytes.HasPrefix(b, gzipMagic):
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			z.Multistream(false)
			r = z
		}
	case bytes.HasPrefix(b, []byte("\xfd7zXZ\x00")):
		var z *xz.Reader
		if z, err = xz.NewReader(bytes.NewReader(b), 1<<27); err == nil {
			z.Multistream(false)
			r = z
		}
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(1<<27), zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	case bytes.HasPrefix(b, []byte("BZh")):
		r = bzip2.NewReader(bytes.NewReader(b))
	default:
		return nil, fmt.Errorf("%w: its payload is compressed with neither gzip, xz, zstd nor bzip2", ErrKernel)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKernel, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKernel, err)
	}
	if len(out) > maxUnpacked {
		return nil, fmt.Errorf("%w: unpacked, it has more than %d bytes", ErrKernel, maxUnpacked)
	}
	return out, nil
}
