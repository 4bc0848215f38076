// Package stream generates streams of TPM 2.0 commands from a seed, sends each
// command to two TPMs and compares their responses.
//
// A command is logical: it refers to objects, sessions and indices of a model
// (world), and is encoded for each TPM with that TPM's handles, names, nonces and
// blobs. Most commands are valid; some are spoiled, in the same way for both TPMs.
// The generators of gen_*.go send what two TPMs must agree on; those of wild*.go
// send all commands of the specification to a single TPM.
//
// The package uses only the constants and tables of vtpm/tcg: what it expects of a
// response must come from the specification, not from the device under test.
package stream
