// Package image turns built unikernels into what boots on Xen: xl configurations
// (xl.cfg(5), Xen 4.17), a manifest of the images' hashes, and measurements of an
// image, from its file or in a domain's memory.
//
// It runs on the host, on any system.
package image
