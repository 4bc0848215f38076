// Package blocktest has disks in memory for tests: [Mem], which can fail at any
// sector, and [Power], which has a write cache that a power cut loses.
package blocktest
