// Package ext4 reads ext2, ext3 and ext4 file systems (Linux,
// Documentation/filesystems/ext4): an fs.FS whose files can be read at any offset.
//
// It reads whatever an unclean shutdown left: the journal is not replayed, as in other
// boot loaders. Checksums are not verified: what is booted is measured. Encrypted and
// inline files, compressed ones, and paths through more than 16 symbolic links are errors.
//
// A damaged or hostile file system leads to errors. Memory for a file system is a few
// blocks, and for a list of a directory that list, of at most 10,000 entries.
package ext4
