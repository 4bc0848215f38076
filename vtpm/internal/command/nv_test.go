package command

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/vtpm/internal/nv"
	"stubtpm/vtpm/internal/session"
	"stubtpm/vtpm/tcg"
)

// TestNVAdministration: what locks an index, changes its authorization value or
// removes it survives a loss of power that comes right after the response.
func TestNVAdministration(t *testing.T) {
	t.Parallel()
	const index = tcg.TPMHandle(0x01C10000)
	for _, c := range []struct {
		name  string
		attrs tcg.TPMANV
		code  tcg.TPMCC
		run   func(tpm transport.TPM, index tpm2.AuthHandle) error
		want  func(x *nv.Index) bool
	}{
		{"NV_ReadLock", tcg.TPMANVReadSTClear, tcg.TPMCCNVReadLock, func(tpm transport.TPM, x tpm2.AuthHandle) error {
			_, err := tpm2.NVReadLock{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}, NVIndex: tpm2.NamedHandle{Handle: x.Handle, Name: x.Name}}.Execute(tpm)
			return err
		}, func(x *nv.Index) bool { return x.Has(tcg.TPMANVReadLocked) }},
		{"NV_GlobalWriteLock", tcg.TPMANVGlobalLock, tcg.TPMCCNVGlobalWriteLock, func(tpm transport.TPM, x tpm2.AuthHandle) error {
			_, err := tpm.Send(command(tcg.TPMCCNVGlobalWriteLock, 1, nil, nil, tcg.TPMRHOwner))
			return err
		}, func(x *nv.Index) bool { return x.Has(tcg.TPMANVWriteLocked) }},
		{"NV_ChangeAuth", 0, tcg.TPMCCNVChangeAuth, func(tpm transport.TPM, x tpm2.AuthHandle) error {
			d := tpm.(client).d
			g := guess{t, d}
			s := g.policy(tcg.TPMRHNull)
			rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCPolicyCommandCode, handles(s), func(w *tcg.Writer) { w.Uint32(uint32(tcg.TPMCCNVChangeAuth)) })
			if rc := g.session(tcg.TPMCCNVChangeAuth, handles(tcg.TPMHandle(x.Handle)), s, 0, "", func(w *tcg.Writer) { w.Sized([]byte("new")) }); rc != tcg.TPMRCSuccess {
				return rc
			}
			return nil
		}, func(x *nv.Index) bool { return string(x.Auth) == "new" }},
		{"NV_UndefineSpaceSpecial", tcg.TPMANVPolicyDelete, tcg.TPMCCNVUndefineSpaceSpecial, func(tpm transport.TPM, x tpm2.AuthHandle) error {
			_, err := tpm2.NVUndefineSpaceSpecial{NVIndex: x, Platform: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}}.Execute(tpm)
			return err
		}, func(x *nv.Index) bool { return x == nil }},
	} {
		d, s, tpm := newTestDevice(t)
		policy := session.NewPolicy(tcg.TPMAlgSHA256, 0, 0)
		policy.Update(tcg.TPMAlgSHA256, tcg.TPMCCPolicyCommandCode, binary.BigEndian.AppendUint32(nil, uint32(c.code)))
		public := tcg.TPMSNVPublic{NVIndex: index, NameAlg: tcg.TPMAlgSHA256, DataSize: 8, AuthPolicy: policy.Digest,
			Attributes: c.attrs | tcg.TPMANVPlatformCreate | tcg.TPMANVPPWrite | tcg.TPMANVPPRead}
		rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCNVDefineSpace, handles(tcg.TPMRHPlatform), func(w *tcg.Writer) {
			w.Sized(nil)
			w.Nested(public.Marshal)
		})
		rawTPM{t, d}.want(tcg.TPMRCSuccess, tcg.TPMCCNVWrite, handles(tcg.TPMRHPlatform, index), func(w *tcg.Writer) {
			w.Sized(make([]byte, 8))
			w.Uint16(0)
		})
		auth := tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(tpm transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicyCommandCode{PolicySession: s, Code: tpm2.TPMCC(c.code)}.Execute(tpm)
			return err
		})
		name := d.Perm.NV.Indices[index].Name()
		err := c.run(tpm, tpm2.AuthHandle{Handle: tpm2.TPMHandle(index), Name: tpm2.TPM2BName{Buffer: name}, Auth: auth})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if x := reload(t, s.state).Perm.NV.Indices[index]; !c.want(x) {
			t.Errorf("%s: after a loss of power the index is %+v", c.name, x)
		}
	}
}
