package main

// The suites are imported so that the module's go.sum has what they need.
import (
	_ "github.com/google/go-tpm-tools/simulator"
	_ "github.com/google/go-tpm/legacy/tpm2"
	_ "github.com/google/go-tpm/tpm2"
)
