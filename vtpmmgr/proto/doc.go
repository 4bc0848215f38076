// Package proto is the protocol between a vTPM, or an administrator, and the vTPM
// manager: messages in the frame of a TPM command, over a tpmif ring.
//
//	request of a vTPM   TagRequest, Ordinal, arguments
//	order               TagAdmin, Ordinal, Ed25519 signature (see Signed), arguments
//	response            TagResponse, Code, results
//
// A type that is sent has a method Append for its encoding and a function Parse... for
// the reverse, which rejects anything that Append does not write. A Client makes the
// requests; the manager's side is package vtpmmgr.
//
// docs/manager-protocol.md specifies all messages. The package runs on any system.
package proto
