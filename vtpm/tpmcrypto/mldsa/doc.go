// Package mldsa is ML-DSA, the module-lattice signature of FIPS 204, in the
// form that a TPM needs: keys from a 32-byte seed, and signatures over mu, the
// 64-byte representative of a message, which the caller computes. So one
// function serves ML-DSA, HashML-DSA and signatures over an external mu.
//
// Names of functions and variables follow FIPS 204. All that touches a secret
// takes the same time for any value of it, except which attempt to sign
// succeeds: that is independent of the key (FIPS 204, 3.3 and appendix C).
package mldsa
