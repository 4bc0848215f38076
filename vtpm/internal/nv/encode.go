package nv

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// Encode writes x as a state has it.
func (x *Index) Encode(w *tcg.Writer) {
	x.Public.Marshal(w)
	w.Sized(x.Auth)
	data := x.Data
	if x.Has(tcg.TPMANVOrderly) {
		data = x.Saved
	}
	w.Sized(data)
}

// Decode reads what Encode wrote.
func Decode(r *tcg.Reader) *Index {
	x := new(Index)
	x.Public.Unmarshal(r)
	x.Public = x.Public.Clone()
	x.Auth = bytes.Clone(r.Sized(tcg.MaxStored))
	x.Data = bytes.Clone(r.Sized(tcg.MaxStored))
	if len(x.Data) != int(x.Public.DataSize) {
		r.Fail(tcg.TPMRCSize)
	}
	if x.Has(tcg.TPMANVOrderly) {
		x.Saved = bytes.Clone(x.Data)
	}
	return x
}
