// Package everyday has no code but a test: what people do with a TPM every day,
// by the programs that Debian ships for it, on this project's hosted device. Each
// script of testdata runs against a new TPM, and what the TPM made is checked by
// somebody else: OpenSSL, cryptsetup, SSH or Python's cryptography.
package everyday
