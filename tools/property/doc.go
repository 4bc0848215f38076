// Package property makes policies by which a TPM gives out a secret to whatever a
// key has approved: TPM2_PolicyAuthorize, over policies of PCR values.
//
// Docs/property.md describes the command and the files. All digests are SHA-256,
// but for those of PCRs in other banks.
package property

import "errors"

// ErrRefused is wrapped by the errors of an approval that does not hold.
var ErrRefused = errors.New("property: refused")
