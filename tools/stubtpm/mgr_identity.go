package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"stubtpm/image"
	"stubtpm/vtpmmgr/proto"
)

// identityOrders are about the host's identity and its admission to a site.
func identityOrders() []order {
	return []order{
		{name: "identity request", flags: "o image", help: "write what a site is asked with for the host's certificate", run: identityRequest,
			more: "The manager makes its keys in the hardware TPM if it has none for the present PCRs and image; until a site admits it, the host is its own root. " +
				"The file is for stubtpm site certify-host. --image is that of the manager, which cannot measure itself: the site compares it with those that it allows, and the PCRs show whether it is true."},
		{name: "identity answer", args: "FILE", flags: "o", help: "answer the challenge of a site", run: identityAnswer,
			more: "FILE is the challenge that stubtpm site certify-host wrote."},
		{name: "identity certificate", args: "FILE ...", help: "give the manager the host's certificate", run: identityCertificate,
			more: "The files, in PEM, hold the host's certificate and then those of its issuers, such as host.pem and site.pem."},
		{name: "identity crl", flags: "o", help: "write the revocation list of the certificates that the host issued", run: identityCRL,
			more: "In DER. It holds those of vTPMs that were destroyed or restored, and is valid for 30 days. Put it where the manager's parameter crl= says."},
	}
}

func identityRequest(m *mgrRun) error {
	if m.o.output == "" {
		return fmt.Errorf("%w: -o is required", errUsage)
	}
	var h [32]byte
	if m.given["image"] {
		var err error
		if h, err = imageHash(m.o.image, image.ManagerImage); err != nil {
			return err
		}
	}
	b, err := m.c.IdentityRequest(h, 0)
	if err != nil {
		return err
	}
	return writeNew(m.o.output, b)
}

func identityCRL(m *mgrRun) error {
	if m.o.output == "" {
		return fmt.Errorf("%w: -o is required", errUsage)
	}
	b, err := m.c.RevocationList()
	if err != nil {
		return err
	}
	return writeNew(m.o.output, b)
}

func identityAnswer(m *mgrRun) error {
	if m.o.output == "" {
		return fmt.Errorf("%w: -o is required", errUsage)
	}
	b, err := os.ReadFile(m.args[0])
	if err != nil {
		return err
	}
	if len(b) > proto.MaxSize-256 {
		return fmt.Errorf("%s is not a challenge: %d bytes is too large", m.args[0], len(b))
	}
	if b, err = m.c.IdentityAnswer(b); err != nil {
		return err
	}
	return writeNew(m.o.output, b)
}

func identityCertificate(m *mgrRun) error {
	var all [][]byte
	for _, name := range m.args {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		some, err := certificatesIn(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, some...)
	}
	return m.c.IdentityCertificate(all)
}

// certificatesIn returns the certificates of a file in PEM, which must have at least one.
func certificatesIn(b []byte) (all [][]byte, err error) {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s, want certificates only", block.Type)
		}
		all = append(all, block.Bytes)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("holds no certificate in PEM")
	}
	return all, nil
}
