// Package everyday tests the hosted device with the TPM programs that Debian ships,
// in their daily use. Each script in testdata runs against a new TPM, and what the
// TPM made is checked by independent programs: OpenSSL, cryptsetup, SSH or Python's
// cryptography.
package everyday
