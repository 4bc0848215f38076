// Package object is a TPM's objects: keys, sealed data and sequences, with the rules
// for their attributes and schemes, the protection of their private areas, and the
// slots of those that are loaded (TPM 2.0 Library, Part 1, "Object Structure Elements"
// and "Protected Storage").
//
// No value is safe for concurrent use.
package object
