// Package devxen gives a Linux domain's processes event channels, grants and
// the xenstore, by the devices /dev/xen/evtchn, gntdev, gntalloc and xenbus.
//
// It implements Linux's include/uapi/xen/{evtchn,gntdev,gntalloc}.h and runs
// on Linux, dom0 or not, with the right to open those devices.
package devxen
