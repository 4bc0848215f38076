package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// certify is TPM2_Certify, which signs a statement that an object with this
// Name is loaded.
//
//	TPM_RC_KEY     signHandle is not of a signing key
//	TPM_RC_SCHEME  not a scheme of the key
//	TPM_RC_TYPE    the object is a sequence
func certify(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[0])
	if o.Seq != nil {
		return tcg.TPMRCType.H(1)
	}
	key, s, rc := checkAttestKey(d, c.Handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := newAttest(d, key, tcg.TPMSTAttestCertify, data)
	a.Certify = tcg.TPMSCertifyInfo{Name: o.Name, QualifiedName: o.QualifiedName}
	return signAttest(d, c, key, s, &a)
}

// certifyCreation is TPM2_CertifyCreation, which signs a statement that the TPM
// created an object, by the creation ticket.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
//	TPM_RC_TICKET              the ticket is not of the object's creation
func certifyCreation(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	creationHash := r.Next().Digest()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	var ticket tcg.TPMTTk
	ticket.UnmarshalCreation(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	key, s, rc := checkAttestKey(d, c.Handles[0], 1, 3, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	o := d.Object(c.Handles[1])
	// The ticket's digest does not tell where the Name ends: without one, what is
	// said to be the creation hash could begin with the Name of another object.
	if !o.HasName() || !d.Hierarchies().Enabled(ticket.Hierarchy) ||
		!tpmcrypto.Equal(ticket.Digest, creationTicket(d, ticket.Hierarchy, o.Name, creationHash)) {
		return tcg.TPMRCTicket.P(4)
	}
	a := newAttest(d, key, tcg.TPMSTAttestCreation, data)
	a.Creation = tcg.TPMSCreationInfo{ObjectName: o.Name, CreationHash: creationHash}
	return signAttest(d, c, key, s, &a)
}

// quote is TPM2_Quote, which returns the digest of PCRs, signed.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func quote(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	var sel tcg.TPMLPCRSelection
	sel.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return err
	}
	key, s, rc := checkAttestKey(d, c.Handles[0], 1, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	// Without a key nothing is signed, but the scheme says how the PCRs are hashed.
	alg := attestHash(key, s, asked)
	if alg == 0 {
		return tcg.TPMRCScheme.P(2)
	}
	a := newAttest(d, key, tcg.TPMSTAttestQuote, data)
	a.Quote.PCRSelect = d.Vol.PCRs.Filter(&sel)
	a.Quote.PCRDigest = d.Vol.PCRs.Digest(alg, &a.Quote.PCRSelect)
	return signAttest(d, c, key, s, &a)
}

// getTime is TPM2_GetTime, which returns Time and Clock, signed.
//
//	TPM_RC_KEY, TPM_RC_SCHEME  see certify
func getTime(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().Data()
	var asked tcg.TPMTSigScheme
	asked.UnmarshalSig(r.Next(), true)
	if err := r.End(); err != nil {
		return err
	}
	key, s, rc := checkAttestKey(d, c.Handles[1], 2, 2, asked)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	a := newAttest(d, key, tcg.TPMSTAttestTime, data)
	a.Time = tcg.TPMSTimeAttestInfo{Time: d.TimeInfo(), FirmwareVersion: firmwareVersion}
	return signAttest(d, c, key, s, &a)
}
