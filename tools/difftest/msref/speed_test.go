package msref

import (
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/tools/difftest/stream"
)

// A timed adds up the time of what it sends.
type timed struct {
	stream.TPM
	sum time.Duration
}

func (t *timed) Send(cmd []byte) ([]byte, error) {
	start := time.Now()
	rsp, err := t.Execute(cmd)
	t.sum += time.Since(start)
	return rsp, err
}

// BenchmarkSpeed has both devices, each called in this process, run the same
// commands in turns; us/command is the mean.
func BenchmarkSpeed(b *testing.B) {
	ours, ref, done, err := open()
	if err != nil {
		b.Fatal(err)
	}
	defer done()
	sides := []struct {
		name string
		*timed
	}{{"stubtpm", &timed{TPM: ours}}, {"reference", &timed{TPM: ref}}}
	for _, s := range sides {
		b.Run("GetRandom/"+s.name, func(b *testing.B) {
			s.sum = 0
			for b.Loop() {
				if _, err := (tpm2.GetRandom{BytesRequested: 32}).Execute(s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.sum.Nanoseconds())/1e3/float64(b.N), "us/command")
		})
	}
	for _, t := range []struct {
		name string
		pub  tpm2.TPMTPublic
	}{
		{"RSA2048", tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048,
			Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}})}},
		{"ECDSAP256", tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}})}},
	} {
		t.pub.NameAlg = tpm2.TPMAlgSHA256
		t.pub.ObjectAttributes = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true}
		for _, s := range sides {
			b.Run("Sign/"+t.name+"/"+s.name, func(b *testing.B) {
				k, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(t.pub)}.Execute(s)
				if err != nil {
					b.Fatal(err)
				}
				defer tpm2.FlushContext{FlushHandle: k.ObjectHandle}.Execute(s)
				s.sum = 0
				for b.Loop() {
					if _, err := (tpm2.Sign{KeyHandle: tpm2.AuthHandle{Handle: k.ObjectHandle, Name: k.Name, Auth: tpm2.PasswordAuth(nil)},
						Digest: tpm2.TPM2BDigest{Buffer: make([]byte, 32)}, Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}).Execute(s); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s.sum.Nanoseconds())/1e3/float64(b.N), "us/command")
			})
		}
	}
}
