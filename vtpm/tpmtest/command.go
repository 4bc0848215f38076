package tpmtest

import (
	"bytes"
	"slices"

	"stubtpm/vtpm/tcg"
)

// Handles are those of a command, in its order.
type Handles []tcg.TPMHandle

// A Response is what a command was answered.
type Response struct {
	Code   tcg.TPMRC
	Handle tcg.TPMHandle // of what the command made, if it makes anything
	Params []byte        // the response's parameters, as they were before they were encrypted

	tcg.Reader // over Params
}

// Run sends a command and returns its response, be it a success or not.
//
// Handles that need an authorization are authorized by auths in their order;
// with no auths at all, by empty passwords. Further auths are sessions for
// audit or encryption. Params are the parameters of the command's table; see
// Encode. A session that succeeds has its response HMAC checked.
func (t *TPM) Run(cc tcg.TPMCC, handles Handles, auths Auths, params ...any) *Response {
	t.tb.Helper()
	spec := tcg.CommandByCode(cc)
	if spec == nil {
		t.tb.Fatalf("tpmtest: no command %v", cc)
	}
	if auths == nil {
		auths = slices.Repeat(Auths{Password("")}, spec.AuthCount())
	}
	encoded, err := Encode(spec, params)
	if err != nil {
		t.tb.Fatalf("tpmtest: %v: %v", cc, err)
	}
	x := &exchange{spec: spec, handles: handles, auths: auths, params: encoded}
	if slices.ContainsFunc(auths, needsNames) {
		for _, h := range handles {
			x.names = append(x.names, t.Name(h))
		}
	}
	r, err := x.response(t.Execute(t.Locality, x.command()))
	if err != nil {
		t.tb.Fatalf("tpmtest: %v: %v", cc, err)
	}
	return r
}

// Do sends a command that has to succeed.
func (t *TPM) Do(cc tcg.TPMCC, handles Handles, auths Auths, params ...any) *Response {
	t.tb.Helper()
	return t.Want(tcg.TPMRCSuccess, cc, handles, auths, params...)
}

// Want sends a command that has to be answered with rc: the code and, where it
// has one, the number of the handle, parameter or session.
func (t *TPM) Want(rc tcg.TPMRC, cc tcg.TPMCC, handles Handles, auths Auths, params ...any) *Response {
	t.tb.Helper()
	r := t.Run(cc, handles, auths, params...)
	if r.Code != rc {
		t.tb.Fatalf("%v: %v (%#x), not %v (%#x)", cc, r.Code, uint32(r.Code), rc, uint32(rc))
	}
	return r
}

// Name returns the Name of the entity h. It asks a Fork, so that the TPM itself
// does not see a command. What h does not refer to has the Name of a handle.
func (t *TPM) Name(h tcg.TPMHandle) []byte {
	t.tb.Helper()
	asks := tcg.TPMCCReadPublic
	switch tcg.TPMHT(h >> 24) {
	case tcg.TPMHTNVIndex:
		asks = tcg.TPMCCNVReadPublic
	case tcg.TPMHTTransient, tcg.TPMHTPersistent:
	default:
		return handleName(h)
	}
	r := t.Fork().Run(asks, Handles{h}, nil)
	switch {
	case r.Code == tcg.TPMRCSequence:
		return nil // a sequence has no Name
	case r.Code != tcg.TPMRCSuccess:
		return handleName(h)
	}
	r.Sized(1 << 15)
	return bytes.Clone(r.Sized(1 << 15))
}

func handleName(h tcg.TPMHandle) []byte { return tcg.Marshal(h) }
