package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// nvCertify is TPM2_NV_Certify, which signs a statement of what an NV index
// contains.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_NV_RANGE            beyond the index's data
//	TPM_RC_NV_LOCKED, TPM_RC_NV_UNINITIALIZED, TPM_RC_NV_AUTHORIZATION
//	                           the index cannot be read
//	TPM_RC_SIZE                contents that do not fit a response with an ML-DSA
//	                           signature (errata of version 1.85, 2.8)
//	TPM_RC_VALUE               offset beyond the data, or more than a buffer
func nvCertify(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	size := r.Next().Uint16()
	offset := r.Next().Uint16()
	if err := r.End(); err != nil {
		return err
	}
	key, s, rc := checkAttestKey(d, c.Handles[0], 1, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	x := d.Index(c.Handles[2])
	if rc := x.Readable(c.Handles[1]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if int(offset) > len(x.Data) {
		return tcg.TPMRCValue.P(4)
	}
	if int(size) > len(x.Data)-int(offset) {
		return tcg.TPMRCNVRange
	}
	if size > nv.MaxBuffer {
		return tcg.TPMRCValue.P(3)
	}
	if key != nil && key.IsMLDSA() && int(size) > mlCertified(d, key) {
		return tcg.TPMRCSize.P(3)
	}
	if size == 0 && offset == 0 {
		// The digest of all of the index instead of its contents (Part 3,
		// 31.16).
		alg := attestHash(key, s, asked)
		if alg == 0 {
			return tcg.TPMRCScheme.P(2)
		}
		a := newAttest(d, key, tcg.TPMSTAttestNVDigest, data)
		a.NVDigest = tcg.TPMSNVDigestCertifyInfo{IndexName: x.Name(), NVDigest: tpmcrypto.Digest(alg, x.Data)}
		return signAttest(d, c, key, s, &a)
	}
	a := newAttest(d, key, tcg.TPMSTAttestNV, data)
	a.NV = tcg.TPMSNVCertifyInfo{IndexName: x.Name(), Offset: offset, NVContents: x.Data[offset:][:size]}
	return signAttest(d, c, key, s, &a)
}
