// Package tpmcrypto is the cryptography of a TPM 2.0 device: what Part 1 of
// the TPM 2.0 library specification, version 185, asks of one.
//
// The Go standard library does the work wherever it has the algorithm. Own
// code is here for what only the TPM specification defines (KDFa, KDFe, XOR
// obfuscation, Schnorr, ECDAA, two-phase key exchange), for keys derived from
// seeds, and for curves and ciphers that the library lacks.
//
// Values go in and out as plain bytes, big-endian as on the wire. The package
// keeps no state of its own and runs anywhere, bare metal included.
package tpmcrypto

// Secrets and timing. Operations on private keys run in constant time for a
// given algorithm and size, by the standard library, filippo.io/bigmod,
// package mont or package weierstrass. Exceptions, each named where it
// happens: the search for primes, and the conversion of results that are
// public anyway.
//
// math/big appears at the borders of crypto/rsa, crypto/ecdsa and
// crypto/elliptic, whose exported interfaces want it, and inverts the public
// half of a signature. It computes nothing with secrets.
