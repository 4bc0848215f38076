package command

import (
	"stubtpm/vtpm/internal/dispatch"
	"stubtpm/vtpm/internal/engine"
	"stubtpm/vtpm/internal/object"
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

// creationParams are the parameters that TPM2_Create and TPM2_CreatePrimary
// share.
type creationParams struct {
	sensitive   tcg.TPMSSensitiveCreate
	public      tcg.TPMTPublic
	outsideInfo []byte
	pcrs        tcg.TPMLPCRSelection
}

func readCreation(c *dispatch.Call) (*creationParams, error) {
	p := new(creationParams)
	r := c.Reader()
	p.sensitive.Unmarshal2B(r.Next())
	p.public.Unmarshal2B(r.Next())
	p.outsideInfo = r.Next().Data()
	p.pcrs.Unmarshal(r.Next())
	if err := r.End(); err != nil {
		return nil, err
	}
	return p, nil
}

// createObject makes the sensitive area and the unique field. source is nil
// for random keys.
func createObject(d *engine.Device, p *creationParams, source keySource) (*object.Object, tcg.TPMRC) {
	o := &object.Object{Public: p.public.Clone()}
	auth := tcg.TrimAuth(p.sensitive.UserAuth)
	if len(auth) > tpmcrypto.MustSize(o.Public.NameAlg) {
		return nil, tcg.TPMRCSize.P(1)
	}
	o.Sensitive.AuthValue = append([]byte(nil), auth...)
	if rc := generate(d, o, p.sensitive.Data, source); rc != tcg.TPMRCSuccess {
		return nil, rc
	}
	return o, tcg.TPMRCSuccess
}

// writeCreation writes outPublic, creationData, creationHash and
// creationTicket.
func writeCreation(d *engine.Device, c *dispatch.Call, o *object.Object, p *creationParams, parent *object.Object, root tcg.TPMHandle) {
	c.Out.Nested(o.Public.Marshal)
	data := tcg.TPMSCreationData{
		PCRSelect:   d.Vol.PCRs.Filter(&p.pcrs),
		Locality:    tcg.LocalityOf(c.Locality),
		OutsideInfo: p.outsideInfo,
	}
	data.PCRDigest = d.Vol.PCRs.Digest(o.Public.NameAlg, &data.PCRSelect)
	if parent != nil {
		data.ParentNameAlg = parent.Public.NameAlg
		data.ParentName = parent.Name
		data.ParentQualifiedName = parent.QualifiedName
	} else {
		data.ParentNameAlg = tcg.TPMAlgNull
		data.ParentName = root.Bytes()
		data.ParentQualifiedName = root.Bytes()
	}
	b := tcg.Marshal(&data)
	c.Out.Sized(b)
	hash := tpmcrypto.Digest(o.Public.NameAlg, b)
	c.Out.Sized(hash)
	ticket := tcg.TPMTTk{Tag: tcg.TPMSTCreation, Hierarchy: o.Hierarchy}
	ticket.Digest = creationTicket(d, o.Hierarchy, o.Name, hash)
	ticket.Marshal(&c.Out)
}

func creationTicket(d *engine.Device, h tcg.TPMHandle, name, creationHash []byte) []byte {
	return d.TicketHMAC(h, tcg.TPMSTCreation, name, creationHash)
}

// protect returns the sensitive area of o encrypted by its parent.
func protect(d *engine.Device, parent, o *object.Object) []byte {
	return parent.Protect(o, d.Random(tpmcrypto.IVSize(parent.Symmetric().Algorithm)))
}
