package drive

import "slices"

// knownFaults are invariants that the device does not keep yet. What violates them is
// passed over.
var knownFaults = []string{NoOracle, PINCount, PINLimit}

// known reports whether a known fault may explain what was found.
func known(f *Found) bool { return slices.Contains(knownFaults, f.Violation.Invariant) }
