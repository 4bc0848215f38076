package launch

import (
	"bytes"
	"fmt"
	"hash"
	"io"

	"stubtpm/drivers/eventlog"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// chunk is how much memory is read at once, in bytes.
const chunk = 1 << 20

// digest hashes a text and then size bytes of memory by each of the algorithms. Each
// byte is read once. Reading ahead, or a goroutine for each algorithm, is no faster on two
// processors that share a core.
func digest(text []byte, mem io.ReaderAt, address, size uint64, algs []tcg.TPMAlgID) ([]eventlog.Digest, error) {
	var hashes []hash.Hash
	for _, a := range algs {
		h := tpmcrypto.MustHash(a)
		h.Write(text)
		hashes = append(hashes, h)
	}
	b := make([]byte, min(chunk, size))
	for at, end := address, address+size; at < end; at += uint64(len(b)) {
		b = b[:min(uint64(len(b)), end-at)]
		if err := readFull(mem, b, at); err != nil {
			return nil, err
		}
		for _, h := range hashes {
			h.Write(b)
		}
	}
	var digests []eventlog.Digest
	for i, h := range hashes {
		digests = append(digests, eventlog.Digest{Alg: algs[i], Sum: h.Sum(nil)})
	}
	return digests, nil
}

// firstPage returns the address of the first page of memory that is not all zero,
// below end.
func firstPage(mem io.ReaderAt, end uint64) (uint64, error) {
	b := make([]byte, chunk)
	for at := uint64(0); at < end; at += uint64(len(b)) {
		b = b[:min(chunk, end-at)]
		if err := readFull(mem, b, at); err != nil {
			return 0, err
		}
		var zeros [pageSize]byte
		for i := 0; i < len(b); i += pageSize {
			if p := b[i:min(i+pageSize, len(b))]; !bytes.Equal(p, zeros[:len(p)]) {
				return at + uint64(i), nil
			}
		}
	}
	return 0, fmt.Errorf("%w: only zeros before it", ErrStartInfo)
}
