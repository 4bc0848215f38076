// Package verifiers has verifiers of others, unmodified, look at certificates
// and quotes of vTPMs. It is a module of its own, so that what they need does
// not become part of this project's.
package verifiers
