// Package block defines the disk that the packages above it are given.
//
// [Device] is what a disk driver implements (drivers/blkif), and what the
// manager's ledger and a vTPM's state disk are written on. [File] is a Device
// for programs of Linux. Package blocktest has disks in memory whose power can
// be cut at any sector.
//
// It has no build tag and runs anywhere.
package block
