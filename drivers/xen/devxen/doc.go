// Package devxen gives a process of a Linux domain event channels, grants and
// xenstore, through the devices /dev/xen/evtchn, gntdev, gntalloc and xenbus, and
// the memory of other domains through privcmd.
//
// It implements Linux's include/uapi/xen/{evtchn,gntdev,gntalloc,privcmd}.h. It
// runs on Linux, in dom0 and in guests, with the right to open those devices.
package devxen
