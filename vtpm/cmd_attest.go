package vtpm

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 18 - Attestation Commands.
var attestationCommands = commandTable{
	tcg.TPMCCCertify:         (*Device).certify,
	tcg.TPMCCCertifyCreation: (*Device).certifyCreation,
	tcg.TPMCCQuote:           (*Device).quote,
	tcg.TPMCCGetTime:         (*Device).getTime,
	tcg.TPMCCNVCertify:       (*Device).nvCertify,
	tcg.TPMCCCertifyX509:     (*Device).certifyX509,
}

// certify is TPM2_Certify.
//
//	TPM_RC_KEY     signHandle is not of a signing key
//	TPM_RC_SCHEME  not a scheme of the key
//	TPM_RC_TYPE    the object is a sequence
func (d *Device) certify(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[0])
	if o.seq != nil {
		return tcg.TPMRCType.H(1)
	}
	key, s, rc := d.checkAttestKey(c.handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := d.newAttest(key, tcg.TPMSTAttestCertify, data)
	a.Certify = tcg.TPMSCertifyInfo{Name: o.name, QualifiedName: o.qualifiedName}
	return d.signAttest(c, key, s, &a)
}

// certifyCreation is TPM2_CertifyCreation.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_TICKET              the ticket is not of the object's creation
func (d *Device) certifyCreation(c *call) error {
	r := c.reader()
	data := r.next().Data()
	creationHash := r.next().Digest()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	var ticket tcg.TPMTTk
	ticket.UnmarshalCreation(r.next())
	if err := r.end(); err != nil {
		return err
	}
	key, s, rc := d.checkAttestKey(c.handles[0], 1, 3, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o := d.object(c.handles[1])
	// The ticket's digest does not tell where the Name ends: without one, what is
	// said to be the creation hash could begin with the Name of another object.
	if !o.hasName() || !d.hierarchies().Enabled(ticket.Hierarchy) ||
		!tpmcrypto.Equal(ticket.Digest, d.creationTicket(ticket.Hierarchy, o.name, creationHash)) {
		return tcg.TPMRCTicket.P(4)
	}
	a := d.newAttest(key, tcg.TPMSTAttestCreation, data)
	a.Creation = tcg.TPMSCreationInfo{ObjectName: o.name, CreationHash: creationHash}
	return d.signAttest(c, key, s, &a)
}

// quote is TPM2_Quote.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func (d *Device) quote(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.next())
	if err := r.end(); err != nil {
		return err
	}
	key, s, rc := d.checkAttestKey(c.handles[0], 1, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	alg := s.HashAlg
	if key == nil {
		// Nothing is signed, but the scheme says how the PCRs are hashed.
		if alg = asked.HashAlg; asked.Scheme == tcg.TPMAlgNull {
			return tcg.TPMRCScheme.P(2)
		}
	}
	a := d.newAttest(key, tcg.TPMSTAttestQuote, data)
	a.Quote.PCRSelect = d.vol.pcrs.Filter(&sel)
	a.Quote.PCRDigest = d.vol.pcrs.Digest(alg, &a.Quote.PCRSelect)
	return d.signAttest(c, key, s, &a)
}

// getTime is TPM2_GetTime.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func (d *Device) getTime(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	if err := r.end(); err != nil {
		return err
	}
	key, s, rc := d.checkAttestKey(c.handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := d.newAttest(key, tcg.TPMSTAttestTime, data)
	a.Time = tcg.TPMSTimeAttestInfo{Time: d.timeInfo(), FirmwareVersion: firmwareVersion}
	return d.signAttest(c, key, s, &a)
}

// nvCertify is TPM2_NV_Certify.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_NV_RANGE            beyond the index's data
//	TPM_RC_NV_LOCKED, TPM_RC_NV_UNINITIALIZED, TPM_RC_NV_AUTHORIZATION
//	                           the index cannot be read
//	TPM_RC_VALUE               offset beyond the data, or more than a buffer
func (d *Device) nvCertify(c *call) error {
	r := c.reader()
	data := r.next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.next(), true)
	size := r.next().Uint16()
	offset := r.next().Uint16()
	if err := r.end(); err != nil {
		return err
	}
	key, s, rc := d.checkAttestKey(c.handles[0], 1, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	x := d.perm.nv.indices[c.handles[2]]
	if rc := x.readable(c.handles[1]); rc != tcg.TPMRCSuccess {
		return rc
	}
	if int(offset) > len(x.data) {
		return tcg.TPMRCValue.P(4)
	}
	if int(size) > len(x.data)-int(offset) {
		return tcg.TPMRCNVRange
	}
	if size > maxNVBuffer {
		return tcg.TPMRCValue.P(3)
	}
	if size == 0 && offset == 0 {
		// The digest of all of the index instead of its contents (Part 3,
		// 31.16).
		alg := s.HashAlg
		if key == nil {
			if alg = asked.HashAlg; asked.Scheme == tcg.TPMAlgNull {
				return tcg.TPMRCScheme.P(2)
			}
		}
		a := d.newAttest(key, tcg.TPMSTAttestNVDigest, data)
		a.NVDigest = tcg.TPMSNVDigestCertifyInfo{IndexName: x.name(), NVDigest: digest(alg, x.data)}
		return d.signAttest(c, key, s, &a)
	}
	a := d.newAttest(key, tcg.TPMSTAttestNV, data)
	a.NV = tcg.TPMSNVCertifyInfo{IndexName: x.name(), Offset: offset, NVContents: x.data[offset:][:size]}
	return d.signAttest(c, key, s, &a)
}
