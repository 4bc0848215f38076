// Package tcg is the language that a TPM 2.0 speaks: its constants, its
// structures with their wire form, and what the specification says of each
// command.
//
// It implements Part 2 (Structures) of the Trusted Platform Module 2.0
// Library, version 1.85, and holds the command tables of Part 3, for the side
// of the device. It is pure, keeps no state and allocates next to nothing, so
// it runs anywhere.
package tcg

// Choices.
//
// Names are those that github.com/google/go-tpm/tpm2 gives the same things, so
// that tests which use it as the client read alike on both sides.
//
// Unions are flattened: a structure has a member for each selector, and the
// type of the structure says which of them counts. So a structure is a plain
// value, without pointers or interfaces, and takes no memory but for what a
// caller keeps.
//
// Unmarshalling refuses all that the tables of Part 2 refuse, with their
// response code and in their order, and does not copy: byte strings alias the
// command. What is to outlive it has a Clone method.
//
// The conditional value of a type, which Part 2 marks with "+", is allowed by
// a method of its own, UnmarshalPlus, or by an argument called null.
