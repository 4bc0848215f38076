// Package peer is the evidence by which two managers show each other what they are: a quote of
// the hardware TPM over one message and the other's nonce, by the attestation key of the
// manager's identity, and the certificates that lead from that key to their site.
// docs/moves.md, "Evidence of a manager", has the bytes.
package peer
