package command

import (
	"bytes"

	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// addSequence puts a sequence object in a free slot.
func addSequence(d *engine.Device, c *dispatch.Call, s *object.Sequence) error {
	o := &object.Object{Seq: s, Hierarchy: tcg.TPMRHNull}
	o.Public.NameAlg = tcg.TPMAlgNull
	o.Public.Type = tcg.TPMAlgNull
	var rc tcg.TPMRC
	if c.OutHandle, rc = d.Vol.Objects.Add(o); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// hashSequenceStart is TPM2_HashSequenceStart, which starts a sequence for the
// digest of data of any length. The algorithm TPM_ALG_NULL starts an event
// sequence.
//
//	TPM_RC_HASH           hashAlg is not a hash algorithm
//	TPM_RC_OBJECT_MEMORY  no free slot
func hashSequenceStart(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := tcg.TrimAuth(r.Next().Digest())
	alg := r.Next().HashAlgPlus()
	if err := r.End(); err != nil {
		return err
	}
	if alg == tcg.TPMAlgNull {
		return addSequence(d, c, d.NewEventSequence(auth))
	}
	return addSequence(d, c, &object.Sequence{Auth: bytes.Clone(auth), Alg: alg, Hash: tpmcrypto.MustHash(alg)})
}

// macStart is TPM2_MAC_Start, and with an HMAC key TPM2_HMAC_Start, which
// starts a sequence for the MAC of data of any length. The other response codes
// are those of newMAC.
//
//	TPM_RC_OBJECT_MEMORY  no free slot
func macStart(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	auth := tcg.TrimAuth(r.Next().Digest())
	scheme := r.Next().MACSchemePlus()
	if err := r.End(); err != nil {
		return err
	}
	s, rc := newMAC(d.Object(c.Handles[0]), scheme)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.Auth = bytes.Clone(auth)
	return addSequence(d, c, s)
}

// sequenceOf returns the sequence at a handle, or TPM_RC_MODE.
func sequenceOf(d *engine.Device, h tcg.TPMHandle) (*object.Sequence, tcg.TPMRC) {
	o := d.Object(h)
	if o.Seq == nil {
		return nil, tcg.TPMRCMode.H(1)
	}
	return o.Seq, tcg.TPMRCSuccess
}

// sequenceUpdate is TPM2_SequenceUpdate, which adds data to a sequence.
//
//	TPM_RC_MODE  the handle is not of a sequence
func sequenceUpdate(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	if err := r.End(); err != nil {
		return err
	}
	s, rc := sequenceOf(d, c.Handles[0])
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.Write(data)
	return nil
}

// sequenceComplete is TPM2_SequenceComplete, which adds the last data to a
// sequence and returns its digest or MAC.
//
//	TPM_RC_MODE   the handle is not of a hash or MAC sequence
//	TPM_RC_VALUE  there is no such hierarchy
func sequenceComplete(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	root := r.Next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.End(); err != nil {
		return err
	}
	if rc := d.CheckHierarchy(root); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	s, rc := sequenceOf(d, c.Handles[0])
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	if s.Hash == nil || s.Signature != nil {
		return tcg.TPMRCMode.H(1) // what a signature is over would be a MAC that nobody authorized
	}
	s.Write(data)
	v := s.Hash.Sum(nil)
	c.Out.Sized(v)
	writeHashTicket(d, c, root, s.Alg, v, s.Safe() && !s.MAC)
	dropSequence(c, c.Handles[0])
	return nil
}

// dropSequence flushes the completed sequence: its authorization value is
// still needed for the response.
func dropSequence(c *dispatch.Call, h tcg.TPMHandle) { c.FlushAfter = h }

// eventSequenceComplete is TPM2_EventSequenceComplete, which adds the last data
// to an event sequence and extends a PCR with its digests.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
//	TPM_RC_MODE      the handle is not of an event sequence
func eventSequenceComplete(d *engine.Device, c *dispatch.Call) error {
	r := c.Reader()
	data := r.Next().MaxBuffer()
	if err := r.End(); err != nil {
		return err
	}
	o := d.Object(c.Handles[1])
	if o.Seq == nil || o.Seq.Event == nil {
		return tcg.TPMRCMode.H(2)
	}
	h := c.Handles[0]
	if h != tcg.TPMRHNull && !dispatch.LocalityIn(pcr.Rules(int(h)).Extend, c.Locality) {
		return tcg.TPMRCLocality
	}
	o.Seq.Write(data)
	c.Out.Uint32(uint32(len(o.Seq.Event)))
	for _, e := range o.Seq.Event {
		v := e.H.Sum(nil)
		c.Out.Uint16(uint16(e.Alg))
		c.Out.Bytes(v)
		if h != tcg.TPMRHNull {
			d.Vol.PCRs.Extend(e.Alg, int(h), v)
		}
	}
	dropSequence(c, c.Handles[1])
	return nil
}
