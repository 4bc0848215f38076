package tcg_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// specName turns Part 2's and go-tpm's name of a type into one form. Types
// that go-tpm declares as aliases have lost their own name, so all algorithm
// identifiers are one, and all handles.
func specName(s string) string {
	s = strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(s, "+"), "_", ""))
	switch {
	case strings.HasPrefix(s, "TPMIALG"):
		return "TPMALGID"
	case strings.HasPrefix(s, "TPMIDH"), strings.HasPrefix(s, "TPMIRH"), strings.HasPrefix(s, "TPMISH"):
		return "TPMHANDLE"
	case s == "TPMIYESNO":
		return "BOOL"
	case s == "TPMIECCCURVE":
		return "TPMECCCURVE"
	case s == "TPMTSYMDEFOBJECT":
		return "TPMTSYMDEF" // go-tpm sends the general form in TPM2_Duplicate
	case s == "TPM2BNONCE", s == "TPM2BAUTH", s == "TPM2BOPERAND":
		return "TPM2BDIGEST" // Part 2 defines them as the same
	}
	return s
}

// goName is specName of a field's type; for go-tpm's TPM2B[T] that of a TPM2B
// over T.
func goName(t reflect.Type) string {
	n := t.Name()
	if rest, ok := strings.CutPrefix(n, "TPM2B["); ok {
		inner := rest[:strings.IndexByte(rest, ',')]
		n = "TPM2B" + inner[strings.LastIndexByte(inner, '.')+1:][len("TPMT"):]
	}
	return specName(n)
}

// split returns the handles and parameters of a command or response of go-tpm.
func split(t reflect.Type, known map[string]bool) (handles []bool, params []string) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := f.Tag.Get("gotpm")
		if (strings.Contains(tag, "handle") || known[t.Name()+"."+f.Name]) && !known["!"+t.Name()+"."+f.Name] {
			handles = append(handles, strings.Contains(tag, "auth"))
		} else if goName(f.Type) == "HANDLE" {
			params = append(params, "TPMHANDLE")
		} else {
			params = append(params, goName(f.Type))
		}
	}
	return handles, params
}

// The table agrees with go-tpm's commands, which were written apart from it.
func TestCommandsAgainstGoTPM(t *testing.T) {
	t.Parallel()
	commands := []struct{ cmd, rsp any }{
		{tpm2.Shutdown{}, tpm2.ShutdownResponse{}}, {tpm2.Startup{}, tpm2.StartupResponse{}},
		{tpm2.StartAuthSession{}, tpm2.StartAuthSessionResponse{}}, {tpm2.Create{}, tpm2.CreateResponse{}},
		{tpm2.Load{}, tpm2.LoadResponse{}}, {tpm2.LoadExternal{}, tpm2.LoadExternalResponse{}},
		{tpm2.ReadPublic{}, tpm2.ReadPublicResponse{}}, {tpm2.ActivateCredential{}, tpm2.ActivateCredentialResponse{}},
		{tpm2.MakeCredential{}, tpm2.MakeCredentialResponse{}}, {tpm2.Unseal{}, tpm2.UnsealResponse{}},
		{tpm2.ObjectChangeAuth{}, tpm2.ObjectChangeAuthResponse{}}, {tpm2.CreateLoaded{}, tpm2.CreateLoadedResponse{}},
		{tpm2.EncryptDecrypt2{}, tpm2.EncryptDecrypt2Response{}}, {tpm2.RSAEncrypt{}, tpm2.RSAEncryptResponse{}},
		{tpm2.RSADecrypt{}, tpm2.RSADecryptResponse{}}, {tpm2.ECDHZGen{}, tpm2.ECDHZGenResponse{}},
		{tpm2.Hash{}, tpm2.HashResponse{}}, {tpm2.Hmac{}, tpm2.HmacResponse{}},
		{tpm2.GetRandom{}, tpm2.GetRandomResponse{}}, {tpm2.HashSequenceStart{}, tpm2.HashSequenceStartResponse{}},
		{tpm2.HmacStart{}, tpm2.HmacStartResponse{}}, {tpm2.SequenceUpdate{}, tpm2.SequenceUpdateResponse{}},
		{tpm2.SequenceComplete{}, tpm2.SequenceCompleteResponse{}}, {tpm2.Certify{}, tpm2.CertifyResponse{}},
		{tpm2.CertifyCreation{}, tpm2.CertifyCreationResponse{}}, {tpm2.Quote{}, tpm2.QuoteResponse{}},
		{tpm2.GetSessionAuditDigest{}, tpm2.GetSessionAuditDigestResponse{}}, {tpm2.Commit{}, tpm2.CommitResponse{}},
		{tpm2.VerifySignature{}, tpm2.VerifySignatureResponse{}}, {tpm2.Sign{}, tpm2.SignResponse{}},
		{tpm2.PCRExtend{}, tpm2.PCRExtendResponse{}}, {tpm2.PCRRead{}, tpm2.PCRReadResponse{}},
		{tpm2.PCRReset{}, tpm2.PCRResetResponse{}}, {tpm2.PolicySigned{}, tpm2.PolicySignedResponse{}},
		{tpm2.PolicySecret{}, tpm2.PolicySecretResponse{}}, {tpm2.PolicyOr{}, tpm2.PolicyOrResponse{}},
		{tpm2.PolicyPCR{}, tpm2.PolicyPCRResponse{}}, {tpm2.PolicyAuthValue{}, tpm2.PolicyAuthValueResponse{}},
		{tpm2.PolicyDuplicationSelect{}, tpm2.PolicyDuplicationSelectResponse{}}, {tpm2.PolicyNV{}, tpm2.PolicyNVResponse{}},
		{tpm2.PolicyCommandCode{}, tpm2.PolicyCommandCodeResponse{}}, {tpm2.PolicyCPHash{}, tpm2.PolicyCPHashResponse{}},
		{tpm2.PolicyAuthorize{}, tpm2.PolicyAuthorizeResponse{}}, {tpm2.PolicyGetDigest{}, tpm2.PolicyGetDigestResponse{}},
		{tpm2.PolicyNVWritten{}, tpm2.PolicyNVWrittenResponse{}}, {tpm2.PolicyAuthorizeNV{}, tpm2.PolicyAuthorizeNVResponse{}},
		{tpm2.CreatePrimary{}, tpm2.CreatePrimaryResponse{}}, {tpm2.Clear{}, tpm2.ClearResponse{}},
		{tpm2.HierarchyChangeAuth{}, tpm2.HierarchyChangeAuthResponse{}}, {tpm2.ContextSave{}, tpm2.ContextSaveResponse{}},
		{tpm2.ContextLoad{}, tpm2.ContextLoadResponse{}}, {tpm2.FlushContext{}, tpm2.FlushContextResponse{}},
		{tpm2.EvictControl{}, tpm2.EvictControlResponse{}}, {tpm2.Duplicate{}, tpm2.DuplicateResponse{}},
		{tpm2.Import{}, tpm2.ImportResponse{}}, {tpm2.ReadClock{}, tpm2.ReadClockResponse{}},
		{tpm2.GetCapability{}, tpm2.GetCapabilityResponse{}}, {tpm2.TestParms{}, tpm2.TestParmsResponse{}},
		{tpm2.NVDefineSpace{}, tpm2.NVDefineSpaceResponse{}}, {tpm2.NVUndefineSpace{}, tpm2.NVUndefineSpaceResponse{}},
		{tpm2.NVUndefineSpaceSpecial{}, tpm2.NVUndefineSpaceSpecialResponse{}}, {tpm2.NVReadPublic{}, tpm2.NVReadPublicResponse{}},
		{tpm2.NVWrite{}, tpm2.NVWriteResponse{}}, {tpm2.NVIncrement{}, tpm2.NVIncrementResponse{}},
		{tpm2.NVWriteLock{}, tpm2.NVWriteLockResponse{}}, {tpm2.NVRead{}, tpm2.NVReadResponse{}},
		{tpm2.NVReadLock{}, tpm2.NVReadLockResponse{}}, {tpm2.NVCertify{}, tpm2.NVCertifyResponse{}},
		{tpm2.GetTime{}, tpm2.GetTimeResponse{}},
	}
	// Where go-tpm leaves out that a field is a handle, or says so of the
	// parameter of TPM2_FlushContext. Names with "!" are the latter.
	marks := map[string]bool{
		"HashSequenceStartResponse.SequenceHandle": true, "ContextSave.SaveHandle": true,
		"ContextLoadResponse.LoadedHandle": true, "!FlushContext.FlushHandle": true,
	}
	if len(commands) < 60 {
		t.Fatal("too few commands compared")
	}
	for _, c := range commands {
		cc := reflect.ValueOf(c.cmd).MethodByName("Command").Call(nil)[0].Uint()
		spec := tcg.CommandByCode(tcg.TPMCC(cc))
		if spec == nil {
			t.Errorf("%T has no row", c.cmd)
			continue
		}
		handles, params := split(reflect.TypeOf(c.cmd), marks)
		if len(handles) != len(spec.Handles) {
			t.Errorf("%s: %d handles, go-tpm has %d", spec.Name, len(spec.Handles), len(handles))
			continue
		}
		for i, auth := range handles {
			if auth != (spec.Handles[i].Role != tcg.RoleNone) {
				t.Errorf("%s: authorization of %s: go-tpm says %v", spec.Name, spec.Handles[i].Name, auth)
			}
		}
		compareParams(t, spec.Name, spec.Params, params)
		handles, params = split(reflect.TypeOf(c.rsp), marks)
		if (len(handles) == 1) != (spec.ResponseHandle != nil) {
			t.Errorf("%s: response handle: go-tpm has %d", spec.Name, len(handles))
		}
		compareParams(t, spec.Name+" response", spec.Response, params)
	}
}

func compareParams(t *testing.T, what string, spec []tcg.ParamSpec, params []string) {
	t.Helper()
	if len(spec) != len(params) {
		t.Errorf("%s: %d parameters, go-tpm has %d: %v", what, len(spec), len(params), params)
		return
	}
	for i, p := range spec {
		if got := specName(p.Type); got != params[i] {
			t.Errorf("%s: parameter %s is %s, go-tpm has %s", what, p.Name, got, params[i])
		}
	}
}
