package main

import (
	"bytes"
	"errors"
	"fmt"
)

// An object is one that is loaded.
type object struct {
	handle int
	public []byte // TPMT_PUBLIC
	name   []byte
	unique []byte // public key or digest
}

// public is a TPMT_PUBLIC with SHA-256 and no policy.
func public(typ, attributes int, parms, unique []byte) []byte {
	return cat(u16(typ), u16(algSHA256), u32(attributes), u16(0), parms, sized(unique))
}

// Parameters of each kind of key.
func storageParms() []byte { return cat(u16(algAES), u16(128), u16(algCFB), u16(2)) } // ML-KEM-768
func kemParms() []byte     { return cat(u16(algNull), u16(2)) }
func mldsaParms(set int, externalMu byte) []byte {
	return cat(u16(set), []byte{externalMu})
}
func hashMLDSAParms(set int) []byte { return cat(u16(set), u16(algSHA256)) }
func dataParms() []byte             { return u16(algNull) }

// parse takes a public area apart whose template is known, and computes its Name.
func parse(template, public []byte) (object, error) {
	head := template[:len(template)-2] // up to unique, which a template leaves empty
	if !bytes.HasPrefix(public, head) {
		return object{}, fmt.Errorf("a public area of another template: %x", public[:min(len(public), 20)])
	}
	f := &fields{b: public[len(head):]}
	o := object{public: bytes.Clone(public), unique: bytes.Clone(f.sized())}
	o.name = cat(u16(algSHA256), hash(public))
	return o, f.end()
}

// primary makes a primary key of the owner.
func (t *tpm) primary(template []byte) (o object, err error) {
	h := 0
	r, err := t.run(command{cc: ccCreatePrimary, handles: []int{rhOwner}, auths: 1, handle: &h,
		params: cat(sized(u16(0), u16(0)), sized(template), u16(0), u32(0))})
	if err != nil {
		return o, err
	}
	if o, err = parse(template, r.sized()); err != nil {
		return o, err
	}
	r.sized()
	r.sized()
	r.take(6)
	r.sized()
	name := r.sized()
	o.handle = h
	if err := r.end(); err != nil {
		return o, err
	}
	if !bytes.Equal(name, o.name) {
		return o, errors.New("a primary key has another Name")
	}
	return o, nil
}

// create makes an object below a parent and loads it. s may be nil; with it what is
// sealed is sent encrypted.
func (t *tpm) create(parent *object, template, data []byte, s *session) (o object, err error) {
	r, err := t.run(command{cc: ccCreate, handles: []int{parent.handle}, names: [][]byte{parent.name}, auths: 1,
		session: s, encrypt: s != nil, params: cat(sized(u16(0), sized(data)), sized(template), u16(0), u32(0))})
	if err != nil {
		return o, err
	}
	private := bytes.Clone(r.sized())
	area := bytes.Clone(r.sized())
	if r.err != nil {
		return o, r.err
	}
	if o, err = parse(template, area); err != nil {
		return o, err
	}
	return o, t.load(parent, private, &o)
}

// load loads a private area below a parent.
func (t *tpm) load(parent *object, private []byte, o *object) error {
	r, err := t.run(command{cc: ccLoad, handles: []int{parent.handle}, auths: 1, handle: &o.handle,
		params: cat(sized(private), sized(o.public))})
	if err != nil {
		return err
	}
	name := r.sized()
	if !bytes.Equal(name, o.name) {
		return errors.New("a loaded object has another Name")
	}
	return r.end()
}

// external loads a public area.
func (t *tpm) external(template, unique []byte) (o object, err error) {
	area := cat(template[:len(template)-2], sized(unique))
	if o, err = parse(template, area); err != nil {
		return o, err
	}
	r, err := t.run(command{cc: ccLoadExternal, handle: &o.handle, params: cat(u16(0), sized(area), u32(rhNull))})
	if err != nil {
		return o, err
	}
	if !bytes.Equal(r.sized(), o.name) {
		return o, errors.New("an external object has another Name")
	}
	return o, r.end()
}

func (t *tpm) flush(handles ...int) error {
	for _, h := range handles {
		if _, err := t.run(command{cc: ccFlushContext, params: u32(h)}); err != nil {
			return err
		}
	}
	return nil
}
