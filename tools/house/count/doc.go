// Package count measures a Go module's source: sizes of files and functions,
// cyclomatic complexity, comments, exported names, and which files of a package
// depend on each other in a circle.
//
// It reads files and runs the go command; it changes nothing.
package count
