package engine

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"stubtpm/vtpm/tcg"
)

// EKChain and EKChainLast bound the NV indices that have the certificates of those
// who issued the endorsement certificates (TCG EK Credential Profile for TPM Family
// 2.0). A reader stops at the first index that is not defined.
const (
	EKChain     tcg.TPMHandle = 0x01C00100
	EKChainLast tcg.TPMHandle = 0x01C001FF
)

// MaxCertificates is vtpm.MaxCertificates.
const MaxCertificates = 16 << 10

// isCertificate reports whether SetCertificates takes the index h.
func isCertificate(h tcg.TPMHandle) bool {
	return h == EKCertRSA2048 || h == EKCertP256 || h == EKCertP384 || h >= EKChain && h <= EKChainLast
}

// Reserved reports whether no command defines the index h: EpochIndex, AskIndex and
// AnswerIndex never, those of certificates while SetCertificates has set one.
func (d *Device) Reserved(h tcg.TPMHandle) bool {
	return h == EpochIndex || isPair(h) || isCertificate(h) && d.certified()
}

// certified reports whether SetCertificates has set a certificate.
func (d *Device) certified() bool {
	for _, h := range []tcg.TPMHandle{EKCertRSA2048, EKCertP256, EKCertP384, EKChain} {
		if x := d.Perm.NV.Indices[h]; x != nil && x.ByMaker() {
			return true
		}
	}
	return false
}

// Certificate is vtpm.Device.Certificate.
func (d *Device) Certificate(h tcg.TPMHandle) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x := d.Perm.NV.Indices[h]; isCertificate(h) && x != nil && x.ByMaker() {
		return bytes.Clone(x.Data)
	}
	return nil
}

// SetCertificates is vtpm.Device.SetCertificates.
func (d *Device) SetCertificates(certificates map[tcg.TPMHandle][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Vol.Failed {
		return d.failureMode()
	}
	if err := d.checkCertificates(certificates); err != nil {
		return err
	}
	d.Mark()
	if !d.provide(certificates) {
		return nil
	}
	d.Dirty = true
	if err := d.Save(); err != nil {
		return fmt.Errorf("vtpm: certificates: %w", err)
	}
	return nil
}

func (d *Device) checkCertificates(certificates map[tcg.TPMHandle][]byte) error {
	total, next := 0, EKChain
	for _, h := range slices.Sorted(maps.Keys(certificates)) {
		n := len(certificates[h])
		switch {
		case !isCertificate(h):
			return fmt.Errorf("vtpm: certificates: NV index %#08x is none for a certificate", uint32(h))
		case h >= EKChain && h != next:
			return fmt.Errorf("vtpm: certificates: the chain has no NV index %#08x", uint32(next))
		case n == 0 || n > d.Profile.NVIndexSize():
			return fmt.Errorf("vtpm: certificates: %d bytes in NV index %#08x, not 1 to %d", n, uint32(h), d.Profile.NVIndexSize())
		case h >= EKChain:
			next++
		}
		total += n
	}
	if total > MaxCertificates {
		return fmt.Errorf("vtpm: certificates: %d bytes, more than %d", total, MaxCertificates)
	}
	return nil
}

// provide makes the indices of certificates what is asked for, and reports whether
// they were not so before.
func (d *Device) provide(certificates map[tcg.TPMHandle][]byte) (changed bool) {
	all := &d.Perm.NV
	for h, x := range all.Indices {
		// Without certificates only those of earlier calls go: an owner may
		// provide some of his own.
		if isCertificate(h) && certificates[h] == nil && (len(certificates) > 0 || x.ByMaker()) {
			all.Remove(h)
			changed = true
		}
	}
	for h, data := range certificates {
		if x := all.Indices[h]; x == nil || !x.ByMaker() || !bytes.Equal(x.Data, data) {
			all.Provide(h, data)
			changed = true
		}
	}
	return changed
}
