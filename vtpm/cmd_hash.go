package vtpm

import (
	"bytes"
	"encoding/binary"

	"stubtpm/vtpm/internal/pcr"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// Part 3, section 15.4 TPM2_Hash and section 17 - Hash/HMAC/Event Sequences.
var sequenceCommands = commandTable{
	tcg.TPMCCHash:                  (*Device).hash,
	tcg.TPMCCHashSequenceStart:     (*Device).hashSequenceStart,
	tcg.TPMCCHMACStart:             (*Device).macStart,
	tcg.TPMCCHMAC:                  (*Device).mac,
	tcg.TPMCCSequenceUpdate:        (*Device).sequenceUpdate,
	tcg.TPMCCSequenceComplete:      (*Device).sequenceComplete,
	tcg.TPMCCEventSequenceComplete: (*Device).eventSequenceComplete,
}

// hash is TPM2_Hash.
func (d *Device) hash(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	alg := r.next().HashAlg()
	root := r.next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.end(); err != nil {
		return err
	}
	if rc := d.checkHierarchy(root); rc != tcg.TPMRCSuccess {
		return rc.P(3)
	}
	v := digest(alg, data)
	c.out.Sized(v)
	d.writeHashTicket(c, root, alg, v, !looksGenerated(data))
	return nil
}

// writeHashTicket writes a TPMT_TK_HASHCHECK: that a digest is of data which
// is no structure of the TPM's own; empty if that is not known.
func (d *Device) writeHashTicket(c *call, h tcg.TPMHandle, alg tcg.TPMAlgID, v []byte, safe bool) {
	t := tcg.NullTicket(tcg.TPMSTHashCheck)
	if safe && h != tcg.TPMRHNull {
		t.Hierarchy = h
		t.Digest = d.hashTicket(h, alg, v)
	}
	t.Marshal(&c.out)
}

func (d *Device) hashTicket(h tcg.TPMHandle, alg tcg.TPMAlgID, v []byte) []byte {
	return d.ticketHMAC(h, tcg.TPMSTHashCheck, binary.BigEndian.AppendUint16(nil, uint16(alg)), v)
}

// addSequence puts a sequence object in a free slot.
func (d *Device) addSequence(c *call, s *sequence) error {
	o := &object{seq: s, hierarchy: tcg.TPMRHNull}
	o.public.NameAlg = tcg.TPMAlgNull
	o.public.Type = tcg.TPMAlgNull
	var rc tcg.TPMRC
	if c.outHandle, rc = d.vol.objects.add(o); rc != tcg.TPMRCSuccess {
		return rc
	}
	return nil
}

// hashSequenceStart is TPM2_HashSequenceStart. The algorithm TPM_ALG_NULL
// starts an event sequence.
//
//	TPM_RC_OBJECT_MEMORY  no free slot
func (d *Device) hashSequenceStart(c *call) error {
	r := c.reader()
	auth := tcg.TrimAuth(r.next().Digest())
	alg := r.next().HashAlgPlus()
	if err := r.end(); err != nil {
		return err
	}
	if alg == tcg.TPMAlgNull {
		return d.addSequence(c, d.newEventSequence(auth))
	}
	return d.addSequence(c, &sequence{auth: bytes.Clone(auth), alg: alg, hash: newHash(alg)})
}

// newMAC returns the running MAC of a key, and how it is made.
//
//	TPM_RC_TYPE        the key is neither an HMAC nor a symmetric key
//	TPM_RC_ATTRIBUTES  the key is restricted, or not for signing
//	TPM_RC_VALUE       the scheme is not the key's, or there is none
func newMAC(o *object, scheme tcg.TPMAlgID) (*sequence, tcg.TPMRC) {
	if o.seq != nil {
		return nil, tcg.TPMRCType.H(1)
	}
	s := &sequence{mac: true}
	var err error
	switch o.public.Type {
	case tcg.TPMAlgKeyedHash:
		if rc := checkMACKey(o); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		ks := o.public.KeyedHash.Scheme
		if s.alg = scheme; ks.Scheme == tcg.TPMAlgHMAC {
			if scheme != tcg.TPMAlgNull && scheme != ks.HashAlg {
				return nil, tcg.TPMRCValue.P(2)
			}
			s.alg = ks.HashAlg
		}
		if tpmcrypto.DigestSize(s.alg) == 0 {
			return nil, tcg.TPMRCValue.P(2)
		}
		s.hash, err = tpmcrypto.NewHMAC(s.alg, o.sensitive.Sensitive)
	case tcg.TPMAlgSymCipher:
		if rc := checkMACKey(o); rc != tcg.TPMRCSuccess {
			return nil, rc
		}
		if s.alg = scheme; s.alg == tcg.TPMAlgNull {
			s.alg = o.public.Sym.Mode
		}
		if s.alg != tcg.TPMAlgCMAC || o.public.Sym.Mode != tcg.TPMAlgNull && o.public.Sym.Mode != tcg.TPMAlgCMAC {
			return nil, tcg.TPMRCValue.P(2)
		}
		s.cmac, s.key = o.public.Sym.Algorithm, bytes.Clone(o.sensitive.Sensitive)
		s.hash, err = tpmcrypto.NewCMAC(s.cmac, s.key)
	default:
		return nil, tcg.TPMRCType.H(1)
	}
	return s, rcOf(err)
}

func checkMACKey(o *object) tcg.TPMRC {
	switch {
	case o.has(tcg.TPMAObjectRestricted):
		return tcg.TPMRCAttributes.H(1)
	case !o.has(tcg.TPMAObjectSignEncrypt):
		return tcg.TPMRCKey.H(1)
	}
	return tcg.TPMRCSuccess
}

// macStart is TPM2_MAC_Start, and with an HMAC key TPM2_HMAC_Start.
func (d *Device) macStart(c *call) error {
	r := c.reader()
	auth := tcg.TrimAuth(r.next().Digest())
	scheme := r.next().MACSchemePlus()
	if err := r.end(); err != nil {
		return err
	}
	s, rc := newMAC(d.object(c.handles[0]), scheme)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.auth = bytes.Clone(auth)
	return d.addSequence(c, s)
}

// mac is TPM2_MAC, and with an HMAC key TPM2_HMAC.
func (d *Device) mac(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	scheme := r.next().MACSchemePlus()
	if err := r.end(); err != nil {
		return err
	}
	s, rc := newMAC(d.object(c.handles[0]), scheme)
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.write(data)
	c.out.Sized(s.hash.Sum(nil))
	return nil
}

// sequenceOf returns the sequence at a handle, or TPM_RC_MODE.
func (d *Device) sequenceOf(h tcg.TPMHandle) (*sequence, tcg.TPMRC) {
	o := d.object(h)
	if o.seq == nil {
		return nil, tcg.TPMRCMode.H(1)
	}
	return o.seq, tcg.TPMRCSuccess
}

// sequenceUpdate is TPM2_SequenceUpdate.
//
//	TPM_RC_MODE  the handle is not of a sequence
func (d *Device) sequenceUpdate(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	if err := r.end(); err != nil {
		return err
	}
	s, rc := d.sequenceOf(c.handles[0])
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	s.write(data)
	return nil
}

// sequenceComplete is TPM2_SequenceComplete.
//
//	TPM_RC_MODE  the handle is not of a hash or MAC sequence
func (d *Device) sequenceComplete(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	root := r.next().HandlePlus(tcg.TPMIRHHierarchy)
	if err := r.end(); err != nil {
		return err
	}
	if rc := d.checkHierarchy(root); rc != tcg.TPMRCSuccess {
		return rc.P(2)
	}
	s, rc := d.sequenceOf(c.handles[0])
	if rc != tcg.TPMRCSuccess {
		return rc
	}
	if s.hash == nil {
		return tcg.TPMRCMode.H(1)
	}
	s.write(data)
	v := s.hash.Sum(nil)
	c.out.Sized(v)
	d.writeHashTicket(c, root, s.alg, v, s.safe() && !s.mac)
	d.dropSequence(c)
	return nil
}

// dropSequence flushes the completed sequence: its authorization value is
// still needed for the response.
func (d *Device) dropSequence(c *call) { c.flushAfter = c.handles[c.spec.AuthCount()-1] }

// eventSequenceComplete is TPM2_EventSequenceComplete.
//
//	TPM_RC_LOCALITY  the PCR may not be extended from this locality
//	TPM_RC_MODE      the handle is not of an event sequence
func (d *Device) eventSequenceComplete(c *call) error {
	r := c.reader()
	data := r.next().MaxBuffer()
	if err := r.end(); err != nil {
		return err
	}
	o := d.object(c.handles[1])
	if o.seq == nil || o.seq.event == nil {
		return tcg.TPMRCMode.H(2)
	}
	h := c.handles[0]
	if h != tcg.TPMRHNull && !localityIn(pcr.Rules(int(h)).Extend, c.locality) {
		return tcg.TPMRCLocality
	}
	o.seq.write(data)
	c.out.Uint32(uint32(len(o.seq.event)))
	for _, e := range o.seq.event {
		v := e.h.Sum(nil)
		c.out.Uint16(uint16(e.alg))
		c.out.Bytes(v)
		if h != tcg.TPMRHNull {
			d.vol.pcrs.Extend(e.alg, int(h), v)
		}
	}
	d.dropSequence(c)
	return nil
}
