// Package session is a TPM's sessions: what one keeps, the state of a policy, and the
// array by which the TPM knows which contexts are the newest (TPM 2.0 Library, Part 1,
// "Session-Based Authorizations" and "Context Management").
//
// No value is safe for concurrent use.
package session
