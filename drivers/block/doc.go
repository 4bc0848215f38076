// Package block defines the interface of disks.
//
// A disk driver (drivers/blkif) implements [Device]; the manager's ledger and a
// vTPM's state disk are stored on one. [File] is a Device for Linux programs.
// Package blocktest has disks in memory that can lose power at any sector.
//
// It has no build tag and runs anywhere.
package block
