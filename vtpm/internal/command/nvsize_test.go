package command

import (
	"bytes"
	"fmt"
	"testing"

	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/tcg"
)

// TestNVIndexSize: an index may be as large as the profile says and the property
// tells, and is kept.
func TestNVIndexSize(t *testing.T) {
	t.Parallel()
	const attributes = tcg.TPMANVOwnerWrite | tcg.TPMANVOwnerRead | tcg.TPMANVNoDA
	for _, size := range []int{2048, 4096, tcg.MaxNVIndexSize} {
		x, s := profiled(t, fmt.Sprintf("base = pc-client\nnv-index = %d\n", size))
		_, _, r := x.capability(tcg.TPMRCSuccess, tcg.TPMCapTPMProperties, uint32(tcg.TPMPTNVIndexMax), 1)
		if r.Uint32() != uint32(tcg.TPMPTNVIndexMax) || r.Uint32() != uint32(size) {
			t.Errorf("TPM_PT_NV_INDEX_MAX is not %d", size)
		}
		const index = 0x01800005
		x.want(tcg.TPMRCSize.P(2), tcg.TPMCCNVDefineSpace, handles(tcg.TPMRHOwner), func(w *tcg.Writer) {
			w.Sized(nil)
			p := tcg.TPMSNVPublic{NVIndex: index, NameAlg: tcg.TPMAlgSHA256, Attributes: attributes, DataSize: uint16(size + 1)}
			p.Marshal2B(w)
		})
		x.define(index, uint16(size), attributes)
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i >> 4)
		}
		for at := 0; at < size; at += nv.MaxBuffer {
			x.want(tcg.TPMRCSuccess, tcg.TPMCCNVWrite, handles(tcg.TPMRHOwner, index), func(w *tcg.Writer) {
				w.Sized(data[at:][:nv.MaxBuffer])
				w.Uint16(uint16(at))
			})
		}
		v, err := x.d.Volatile()
		if err != nil {
			t.Fatal(err)
		}
		if x.d, err = Resume(x.d.Cfg, s.state, v); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for at := 0; at < size; at += nv.MaxBuffer {
			r := x.want(tcg.TPMRCSuccess, tcg.TPMCCNVRead, handles(tcg.TPMRHOwner, index), func(w *tcg.Writer) {
				w.Uint16(nv.MaxBuffer)
				w.Uint16(uint16(at))
			})
			got = append(got, r.Sized(nv.MaxBuffer)...)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes were written, others are read", size)
		}
	}
}

// TestAdminNeedsPolicy: in ADMIN and DUP role an NV index, and an object that
// says so, is authorized by a policy only: another authorization is
// TPM_RC_AUTH_TYPE (Part 3, 5.6).
func TestAdminNeedsPolicy(t *testing.T) {
	t.Parallel()
	d := testDevice(t, new(memStore))
	d.Execute(0, startupClear)
	x := rawTPM{t, d}
	const attributes = tcg.TPMANVPPWrite | tcg.TPMANVPPRead | tcg.TPMANVNoDA | tcg.TPMANVPlatformCreate | tcg.TPMANVPolicyDelete
	x.want(tcg.TPMRCSuccess, tcg.TPMCCNVDefineSpace, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
		w.Sized(nil)
		p := tcg.TPMSNVPublic{NVIndex: 0x01C00002, NameAlg: tcg.TPMAlgSHA256, Attributes: attributes, DataSize: 8}
		p.Marshal2B(w)
	})
	x.want(tcg.TPMRCAuthType, tcg.TPMCCNVUndefineSpaceSpecial, handles(0x01C00002, tcg.TPMRHPlatform), nil)
	x.want(tcg.TPMRCAuthType, tcg.TPMCCNVChangeAuth, handles(0x01C00002), func(w *tcg.Writer) { w.Sized([]byte("x")) })

	null := func(w *tcg.Writer) { w.Sized(nil); w.Uint16(uint16(tcg.TPMAlgNull)) }
	h, public, _ := x.eccKey(tcg.TPMAObjectSignEncrypt|tcg.TPMAObjectAdminWithPolicy, noScheme, noSym)
	x.want(tcg.TPMRCAuthType, tcg.TPMCCCertify, handles(h, tcg.TPMRHNull), null)
	x.want(tcg.TPMRCAuthType, tcg.TPMCCDuplicate, handles(h, tcg.TPMRHNull), null)
	h, _, _ = x.eccKey(tcg.TPMAObjectSignEncrypt, noScheme, noSym)
	x.want(tcg.TPMRCSuccess, tcg.TPMCCCertify, handles(h, tcg.TPMRHNull), null)
	x.want(tcg.TPMRCAuthType, tcg.TPMCCDuplicate, handles(h, tcg.TPMRHNull), null)
	h = x.external(tcg.TPMRCSuccess, public, nil, tcg.TPMRHNull)
	x.want(tcg.TPMRCAuthUnavailable, tcg.TPMCCCertify, handles(h, tcg.TPMRHNull), null)
}
