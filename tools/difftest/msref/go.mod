module stubtpm/tools/difftest/msref

go 1.26.8

require (
	github.com/google/go-tpm v0.9.8
	github.com/google/go-tpm-tools v0.4.10
	stubtpm v0.0.0
)

require (
	filippo.io/bigmod v0.1.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace stubtpm => ../../..
