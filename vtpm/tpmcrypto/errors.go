package tpmcrypto

import "errors"

// What can go wrong, as far as a caller must tell cases apart. The comment
// names the response code that the specification gives in most places.
var (
	// ErrHash: no such hash algorithm here. TPM_RC_HASH.
	ErrHash = errors.New("tpmcrypto: unsupported hash algorithm")
	// ErrSymmetric: no such block cipher or key size here. TPM_RC_SYMMETRIC.
	ErrSymmetric = errors.New("tpmcrypto: unsupported block cipher")
	// ErrMode: no such mode of operation here. TPM_RC_MODE.
	ErrMode = errors.New("tpmcrypto: unsupported cipher mode")
	// ErrScheme: no such signing, encryption or exchange scheme for this key.
	// TPM_RC_SCHEME.
	ErrScheme = errors.New("tpmcrypto: unsupported scheme")
	// ErrCurve: no such curve here. TPM_RC_CURVE.
	ErrCurve = errors.New("tpmcrypto: unsupported curve")
	// ErrPoint: a point is not on its curve or badly encoded. TPM_RC_ECC_POINT.
	ErrPoint = errors.New("tpmcrypto: point is not on the curve")
	// ErrInfinity: the result is the point at infinity. TPM_RC_NO_RESULT.
	ErrInfinity = errors.New("tpmcrypto: result is the point at infinity")
	// ErrSize: an input has the wrong length. TPM_RC_SIZE.
	ErrSize = errors.New("tpmcrypto: wrong size")
	// ErrValue: an input is out of range, such as a message not below the
	// modulus, or a ciphertext that does not decrypt. TPM_RC_VALUE.
	ErrValue = errors.New("tpmcrypto: value out of range")
	// ErrBinding: the private part does not belong to the public one.
	// TPM_RC_BINDING.
	ErrBinding = errors.New("tpmcrypto: private and public parts do not match")
	// ErrSignature: the signature is not valid. TPM_RC_SIGNATURE.
	ErrSignature = errors.New("tpmcrypto: invalid signature")
	// ErrNoResult: no key or value could be made of this input. TPM_RC_NO_RESULT.
	ErrNoResult = errors.New("tpmcrypto: no result")
	// ErrFault: a private operation did not survive its own check. Nothing of
	// it left; the device should enter failure mode. TPM_RC_FAILURE.
	ErrFault = errors.New("tpmcrypto: private operation failed its check")
	// ErrState: a saved hash or MAC state is malformed.
	ErrState = errors.New("tpmcrypto: malformed saved state")
)
