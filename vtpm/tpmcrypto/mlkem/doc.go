// Package mlkem is ML-KEM, the module-lattice key encapsulation of FIPS 203,
// for what the standard library's crypto/mlkem does not do: the parameter set
// ML-KEM-512, and encapsulation with randomness of the caller's.
//
// Names of functions and variables follow FIPS 203. All that touches a secret
// takes the same time for any value of it.
package mlkem
