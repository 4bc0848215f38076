// Package house has only tests: they keep the rules that the whole repository
// follows, such as which package may import which, where unsafe may stand, how
// many files may depend on each other in a circle, and which phrases are not
// written. Package count measures the source for them; command figures prints
// what it measures.
package house
