package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stubtpm/vtpm"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// certifyPause is the time between two looks at the certificates while the vTPM runs, since
// a site may admit the host meanwhile, and certificates end; seedPause, that between two
// looks at the endorsement seed, which the guest may replace; failedPause, that after an
// error.
const (
	certifyPause = 6 * time.Hour
	seedPause    = time.Minute
	failedPause  = 10 * time.Minute
)

// renewCertificates looks at the certificates again and again, until ctx ends, but not while
// the TPM is frozen.
func renewCertificates(ctx context.Context, e *Environment, d *vtpm.Device, manager *proto.Client, g *gate) {
	last, pause := time.Now(), failedPause // whether it succeeded at the start or not
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(seedPause):
		}
		present, err := isOfPresentSeed(d)
		gone := err == nil && !present && d.Certificate(vtpm.EKChain) != nil
		if time.Since(last) < pause && !(gone && pause == certifyPause) {
			continue
		}
		last, pause = time.Now(), certifyPause
		g.run(func() { err = certify(d, manager) })
		if err != nil {
			e.Log("certificates: %v", err)
		}
		if err != nil && !errors.Is(err, proto.NoIdentity) {
			pause = failedPause
		}
	}
}

// certify has the endorsement keys certified, unless the certificates in the NV indices
// are of these keys and what the manager would make of them now. It is an error wrapping
// proto.NoIdentity if the host has none.
func certify(d *vtpm.Device, manager *proto.Client) error {
	current, err := ask(manager, manager.Certified)
	if err != nil {
		return err
	}
	if current {
		if current, err = isOfPresentSeed(d); current || err != nil {
			return err
		}
	}
	keys, err := d.EndorsementKeys()
	if err != nil {
		return err
	}
	var publics [][]byte
	for _, k := range keys {
		publics = append(publics, k.Public)
	}
	certificates, err := ask(manager, func() ([][]byte, error) { return manager.Certify(publics) })
	if err != nil {
		return err
	}
	chain, err := ask(manager, manager.Chain)
	if err != nil {
		return err
	}
	indices := map[tcg.TPMHandle][]byte{}
	for i, k := range keys {
		indices[k.Certificate] = certificates[i]
	}
	for i, c := range chain {
		indices[vtpm.EKChain+tcg.TPMHandle(i)] = c
	}
	return d.SetCertificates(indices)
}

// isOfPresentSeed reports whether the certificate of the endorsement key of P-256, which
// is quickly derived, is of the present seed: TPM2_ChangeEPS makes another. A profile
// without that key is taken to have kept its seed.
func isOfPresentSeed(d *vtpm.Device) (bool, error) {
	public, err := d.EndorsementKey(vtpm.EKCertP256)
	if err != nil {
		return false, err
	}
	if public == nil {
		return d.Certificate(vtpm.EKChain) != nil, nil
	}
	return bytes.Contains(d.Certificate(vtpm.EKCertP256), pointOf(public)), nil
}

// pointOf returns the point of a TPMT_PUBLIC of P-256, which ends with a TPMS_ECC_POINT of
// two coordinates of 32 bytes, as it stands in a certificate (SEC 1, 2.3.3).
func pointOf(public []byte) []byte {
	const coordinate = 2 + 32
	x, y := public[len(public)-2*coordinate:], public[len(public)-coordinate:]
	return slices.Concat([]byte{4}, x[2:coordinate], y[2:])
}

// ask makes a request. If an order revoked the admission of this vTPM, it loads again if
// that is allowed.
func ask[T any](manager *proto.Client, request func() (T, error)) (T, error) {
	v, err := request()
	if !errors.Is(err, proto.NotConnected) {
		return v, err
	}
	if _, err := manager.Load(); err != nil {
		return v, err
	}
	return request()
}

// attest is vtpm.Config.Attest: the manager makes evidence, or a certificate of the key.
func attest(manager *proto.Client) func(question, key []byte) ([]byte, error) {
	return func(question, key []byte) ([]byte, error) {
		answer, err := ask(manager, func() ([]byte, error) {
			if question[0] == evidence.AskCertificate {
				return manager.CertifyAK(key)
			}
			return manager.Attest(question)
		})
		if errors.Is(err, proto.Rate) {
			err = fmt.Errorf("%w: %w", vtpm.ErrRate, err)
		}
		return answer, err
	}
}
