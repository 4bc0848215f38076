// Package xen defines what a domain uses Xen for: event channels ([Events]) and
// grants ([Grants]), as small interfaces. Package hvm implements them for a
// bare-metal PVH domain with hypercalls, package devxen for a Linux domain with
// /dev/xen/*, package xentest in memory for tests.
//
// It has no build tag and runs anywhere.
package xen
