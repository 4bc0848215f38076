// Package hierarchy is the hierarchies of a TPM: their seeds and proofs, their
// authorization values and policies, and which of them are enabled (Part 1,
// "Hierarchies").
//
// What it holds is in three types, by what survives what: [Permanent] survives loss
// of power, [Clear] is set again by each TPM Reset and TPM Restart, and the null
// hierarchy's [Secrets] by each TPM Reset. A [Set] looks at all three.
package hierarchy
