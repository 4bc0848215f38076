// Package nv is a TPM's NV memory: indices and their data (TPM 2.0 Library, Part 1,
// "NV Memory").
//
// No value is safe for concurrent use.
package nv
