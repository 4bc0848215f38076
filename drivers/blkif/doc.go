// Package blkif is the frontend of Xen's block ring: a disk of this domain that
// a backend in another domain provides.
//
// It implements Xen's public/io/blkif.h and public/io/ring.h: protocol
// "x86_64-abi", one ring page, one request at a time. It has no build tag and
// runs anywhere.
package blkif
