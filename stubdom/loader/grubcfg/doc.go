// Package grubcfg reads the entries of a grub.cfg as Debian's grub-mkconfig writes it.
//
// Of GRUB's language it knows: menuentry and submenu with a title in quotes and the id
// after $menuentry_id_option or --id; linux and initrd in them, with several files for
// initrd; set, for variables; $name and ${name} in words; if, elif, else and fi, with
// tests of strings ([ a = b ], !=, -z, -n, and [ word ]) and ! in front. Any other
// condition is false: there is no file of GRUB's, no environment block, and no device but
// the one that holds the file. Functions are not run. All other commands, among them
// search, insmod, load_video and echo, are ignored: files are those of the file system on
// which grub.cfg is.
//
// The default is set default=, by number, id or title, with > between the levels of
// submenus.
package grubcfg
