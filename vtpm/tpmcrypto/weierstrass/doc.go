// Package weierstrass computes on elliptic curves y² = x³ + ax + b of prime
// order over prime fields of up to 640 bits, for the curves of a TPM that the
// standard library lacks.
//
// It uses the complete formulas of Renes, Costello and Batina (2015,
// https://eprint.iacr.org/2015/1060), which have no exceptional points, so that
// all operations take the same time whatever the scalar and the points are.
package weierstrass
