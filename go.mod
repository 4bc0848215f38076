module stubtpm

go 1.26.8

require (
	filippo.io/bigmod v0.1.0
	github.com/google/go-tpm v0.9.8
	github.com/usbarmory/tamago v1.26.6
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
)
