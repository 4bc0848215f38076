package tcg_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// Every attribute that go-tpm has by name is the same bit here.
func TestAttributesAgainstGoTPM(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   tpm2.Marshallable
		bits map[string]uint64
	}{
		{tpm2.TPMAObject{}, map[string]uint64{
			"FixedTPM": uint64(tcg.TPMAObjectFixedTPM), "STClear": uint64(tcg.TPMAObjectSTClear),
			"FixedParent":         uint64(tcg.TPMAObjectFixedParent),
			"SensitiveDataOrigin": uint64(tcg.TPMAObjectSensitiveDataOrigin),
			"UserWithAuth":        uint64(tcg.TPMAObjectUserWithAuth), "AdminWithPolicy": uint64(tcg.TPMAObjectAdminWithPolicy),
			"FirmwareLimited": uint64(tcg.TPMAObjectFirmwareLimited), "NoDA": uint64(tcg.TPMAObjectNoDA),
			"EncryptedDuplication": uint64(tcg.TPMAObjectEncryptedDuplication), "Restricted": uint64(tcg.TPMAObjectRestricted),
			"Decrypt": uint64(tcg.TPMAObjectDecrypt), "SignEncrypt": uint64(tcg.TPMAObjectSignEncrypt),
			"X509Sign": uint64(tcg.TPMAObjectX509Sign),
		}},
		{tpm2.TPMANV{}, map[string]uint64{
			"PPWrite": uint64(tcg.TPMANVPPWrite), "OwnerWrite": uint64(tcg.TPMANVOwnerWrite),
			"AuthWrite": uint64(tcg.TPMANVAuthWrite), "PolicyWrite": uint64(tcg.TPMANVPolicyWrite),
			"PolicyDelete": uint64(tcg.TPMANVPolicyDelete), "WriteLocked": uint64(tcg.TPMANVWriteLocked),
			"WriteAll": uint64(tcg.TPMANVWriteAll), "WriteDefine": uint64(tcg.TPMANVWriteDefine),
			"WriteSTClear": uint64(tcg.TPMANVWriteSTClear), "GlobalLock": uint64(tcg.TPMANVGlobalLock),
			"PPRead": uint64(tcg.TPMANVPPRead), "OwnerRead": uint64(tcg.TPMANVOwnerRead),
			"AuthRead": uint64(tcg.TPMANVAuthRead), "PolicyRead": uint64(tcg.TPMANVPolicyRead),
			"NoDA": uint64(tcg.TPMANVNoDA), "Orderly": uint64(tcg.TPMANVOrderly),
			"ClearSTClear": uint64(tcg.TPMANVClearSTClear), "ReadLocked": uint64(tcg.TPMANVReadLocked),
			"Written": uint64(tcg.TPMANVWritten), "PlatformCreate": uint64(tcg.TPMANVPlatformCreate),
			"ReadSTClear": uint64(tcg.TPMANVReadSTClear),
		}},
		{tpm2.TPMASession{}, map[string]uint64{
			"ContinueSession": uint64(tcg.TPMASessionContinueSession), "AuditExclusive": uint64(tcg.TPMASessionAuditExclusive),
			"AuditReset": uint64(tcg.TPMASessionAuditReset), "Decrypt": uint64(tcg.TPMASessionDecrypt),
			"Encrypt": uint64(tcg.TPMASessionEncrypt), "Audit": uint64(tcg.TPMASessionAudit),
		}},
		{tpm2.TPMALocality{}, map[string]uint64{
			"TPMLocZero": uint64(tcg.LocalityOf(0)), "TPMLocOne": uint64(tcg.LocalityOf(1)), "TPMLocTwo": uint64(tcg.LocalityOf(2)),
			"TPMLocThree": uint64(tcg.TPMALocalityThree), "TPMLocFour": uint64(tcg.LocalityOf(4)),
		}},
		{tpm2.TPMACC{}, map[string]uint64{
			"NV": uint64(tcg.TPMACCNV), "Extensive": uint64(tcg.TPMACCExtensive), "Flushed": uint64(tcg.TPMACCFlushed),
			"RHandle": uint64(tcg.TPMACCRHandle), "V": uint64(tcg.TPMACCV),
		}},
		{tpm2.TPMAAlgorithm{}, map[string]uint64{
			"Asymmetric": uint64(tcg.TPMAAlgorithmAsymmetric), "Symmetric": uint64(tcg.TPMAAlgorithmSymmetric),
			"Hash": uint64(tcg.TPMAAlgorithmHash), "Object": uint64(tcg.TPMAAlgorithmObject),
			"Signing": uint64(tcg.TPMAAlgorithmSigning), "Encrypting": uint64(tcg.TPMAAlgorithmEncrypting),
			"Method": uint64(tcg.TPMAAlgorithmMethod),
		}},
	} {
		v := reflect.New(reflect.TypeOf(c.of)).Elem()
		compared := 0
		for i := 0; i < v.NumField(); i++ {
			if v.Field(i).Kind() != reflect.Bool {
				continue
			}
			name := v.Type().Field(i).Name
			v.Field(i).SetBool(true)
			wire := tpm2.Marshal(v.Interface().(tpm2.Marshallable))
			v.Field(i).SetBool(false)
			want := binary.BigEndian.Uint64(append(make([]byte, 8-len(wire)), wire...))
			if got := c.bits[name]; got != want {
				t.Errorf("%T.%s: bit %#x, want %#x", c.of, name, got, want)
			}
			compared++
		}
		if compared != len(c.bits) {
			t.Errorf("%T: %d attributes compared of %d", c.of, compared, len(c.bits))
		}
	}
	if nv := tcg.TPMANVWritten.WithNT(tcg.TPMNTPinPass); nv != tcg.TPMANVWritten|0x90 || nv.NT() != tcg.TPMNTPinPass ||
		nv.WithNT(tcg.TPMNTOrdinary) != tcg.TPMANVWritten {
		t.Error("kind of NV index")
	}
	for n, want := range map[uint8]tcg.TPMALocality{5: 0, 31: 0, 32: 32, 255: 255} {
		if got := tcg.LocalityOf(n); got != want {
			t.Errorf("locality %d: %#x, want %#x", n, got, want)
		}
	}
}

// What a capability says is what go-tpm reads out of it.
func TestCapabilityDataWithGoTPM(t *testing.T) {
	t.Parallel()
	var pcrs tcg.TPMLPCRSelection
	pcrs.Append(tcg.TPMSPCRSelection{Hash: tcg.TPMAlgSHA256, TPMSPCRSelect: tcg.SelectPCRs(0, 7, 23, 24)})
	for _, d := range []tcg.TPMSCapabilityData{
		{Capability: tcg.TPMCapAlgs, Algorithms: []tcg.TPMSAlgProperty{{Alg: tcg.TPMAlgRSA, AlgProperties: tcg.TPMAAlgorithmObject}}},
		{Capability: tcg.TPMCapHandles, Handles: []tcg.TPMHandle{0x81000001, 0x81000002}},
		{Capability: tcg.TPMCapCommands, Command: []tcg.TPMACC{tcg.CommandByCode(tcg.TPMCCNVCertify).CCAttributes()}},
		{Capability: tcg.TPMCapPPCommands, Commands: []tcg.TPMCC{tcg.TPMCCClear}},
		{Capability: tcg.TPMCapAuditCommands},
		{Capability: tcg.TPMCapPCRs, AssignedPCR: pcrs},
		{Capability: tcg.TPMCapTPMProperties, TPMProperties: []tcg.TPMSTaggedProperty{{Property: tcg.TPMPTRevision, Value: 185}}},
		{Capability: tcg.TPMCapPCRProperties, PCRProperties: []tcg.TPMSTaggedPCRSelect{{Tag: tcg.TPMPTPCRDRTMReset, TPMSPCRSelect: tcg.SelectPCRs(17)}}},
		{Capability: tcg.TPMCapECCCurves, ECCCurves: []tcg.TPMECCCurve{tcg.TPMECCNistP256}},
		{Capability: tcg.TPMCapAuthPolicies, AuthPolicies: []tcg.TPMSTaggedPolicy{
			{Handle: tcg.TPMRHOwner, PolicyHash: tcg.TPMTHA{HashAlg: tcg.TPMAlgSHA256, Digest: fill(32)}}}},
		{Capability: tcg.TPMCapACT, ACTData: []tcg.TPMSACTData{{Handle: tcg.TPMRHACT0, Timeout: 60, Attributes: tcg.TPMAACTSignaled}}},
	} {
		wire := tcg.Marshal(&d)
		v, err := tpm2.Unmarshal[tpm2.TPMSCapabilityData](wire)
		if err != nil {
			t.Errorf("capability %d: %v", d.Capability, err)
		} else if got := tpm2.Marshal(v); !bytes.Equal(got, wire) {
			t.Errorf("capability %d: %x, go-tpm read %x", d.Capability, wire, got)
		}
	}
	if pcrs.All()[0].PCRSelect != [3]byte{0x81, 0, 0x80} {
		t.Errorf("selected PCRs %x", pcrs.All()[0].PCRSelect)
	}
}
