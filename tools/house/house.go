// Package house has only tests: they keep the rules that the whole repository
// follows, such as which package may import which, and where unsafe may stand.
package house
