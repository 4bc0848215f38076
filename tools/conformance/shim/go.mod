module github.com/google/go-tpm-tools

go 1.26.8

require stubtpm v0.0.0
