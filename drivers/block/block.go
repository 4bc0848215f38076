// Package block names what a disk is to the packages above it. It has no
// build tag and runs anywhere.
package block

import "io"

// SectorSize is the unit in bytes of offsets and lengths that a Device takes.
const SectorSize = 512

// A Device is a disk. Offsets and lengths are multiples of SectorSize. A write
// is durable only once a later Flush returned without error.
type Device interface {
	io.ReaderAt
	io.WriterAt

	// Size returns the capacity in bytes.
	Size() int64

	// Flush makes all completed writes durable.
	Flush() error
}
