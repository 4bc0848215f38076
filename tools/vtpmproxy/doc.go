// Package vtpmproxy creates Linux TPM devices whose commands a program answers.
package vtpmproxy
