// Package uki reads EFI programs in the PE format, among them unified kernel images
// (UKIs), and measures them as firmware and systemd-stub do.
//
// It implements the hash of the Authenticode PE signature format, version 1.0,
// "Calculating the PE Image Hash", and UAPI.5, "Unified Kernel Image". The package has
// no build tag and runs anywhere.
package uki
