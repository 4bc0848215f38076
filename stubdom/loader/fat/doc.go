// Package fat reads FAT12, FAT16 and FAT32 file systems with long names (Microsoft, FAT
// General Overview of On-Disk Format, version 1.03; UEFI Specification 2.10, section
// 13.3): an fs.FS whose files can be read at any offset. Names are compared without
// regard to case.
//
// A damaged or hostile file system leads to errors. Memory for an open file or directory
// is at most 2 MiB.
package fat
