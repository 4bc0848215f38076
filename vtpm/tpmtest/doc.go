// Package tpmtest is a kit for tests of the TPM in package vtpm. It uses only
// what any program can: vtpm's exported API, and the bytes of commands.
//
// New makes a TPM that is started:
//
//	tpm := tpmtest.New(t)
//
// Commands are sent by the command table of package tcg, so that a test names
// only what it is about. Each handle that needs an authorization gets an empty
// password unless others are given, and nil stands for an empty parameter:
//
//	r := tpm.Do(tcg.TPMCCGetRandom, nil, nil, 16)
//	tpm.Want(tcg.TPMRCHandle.H(2), tcg.TPMCCNVRead, tpmtest.Handles{owner, index}, nil, 8, 0)
//
// Do fails the test if the command fails, Want if its response code is another
// one, and Run returns what came. A TPM is also a transport.TPM of
// github.com/google/go-tpm, so that its typed commands can be used:
//
//	tpm2.GetRandom{BytesRequested: 16}.Execute(tpm)
//
// # World
//
// The TPM's store, clock and power are in the hands of the test: Store fails at
// the save that the test says, Clock stands still until Advance, and PowerLoss,
// Reset, Restart and Resume are the ways in which a platform goes off and on.
// Suspend and Fork go by what vtpm.Resume takes.
//
// # Sessions
//
// StartSession starts a session: bound, salted, for a policy, with parameter
// encryption or audit. Its exported fields say what the next command is sent
// with; a test that wants a bad HMAC or nonce changes them.
package tpmtest
