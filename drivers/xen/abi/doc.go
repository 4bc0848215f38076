// Package abi defines the numbers and layouts of Xen's public interface that a
// PVH domain uses: hypercalls, the shared information page, event channels,
// grants (version 1), and the rings of console and xenstore.
//
// Source: Xen 4.17, xen/include/public, for 64-bit x86. Names and values are
// Xen's. Of a structure with only one field in use, the package has that field's
// offset. It imports nothing and runs anywhere.
package abi
