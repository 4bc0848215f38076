package verify

import "fmt"

// A Reason is why evidence was refused. It is the exit code of the verifier and
// never changes its number.
type Reason int

// Reasons, in the order in which they are found, except those that were added last.
const (
	Malformed      Reason = 10 + iota // a part cannot be parsed
	Incomplete                        // a part is absent
	Virtual                           // the policy wants a hardware TPM
	Untrusted                         // the chain does not lead to a root of the policy, or a host vouches for a host
	NotValidNow                       // a certificate has expired or is not valid yet
	Revoked                           // a certificate is on its issuer's revocation list
	NoRevocation                      // there is no current revocation list, and the policy wants one
	NoSite                            // the host is its own root, and the policy wants a site
	HostClaims                        // the host certificate does not say which manager it is of
	Manager                           // the manager is not one of the policy
	ManagerImage                      // the manager's image is not one of the policy
	ManagerVersion                    // the manager's security version is too low

	EKCertificate // it is not signed by the host, or not that of an endorsement key
	EKClaims      // it does not say which vTPM it is of
	EKManager     // it is of another manager than the host certificate

	Proof             // the proof has not the form that its numbers ask for
	HardwareKey       // the key of the hardware quote is not the one of the host certificate
	HardwareAttribute // that key could sign what is no attestation
	HardwareSignature
	HardwareAttest  // what it signed is no quote
	HardwareBinding // the hardware quote is not over this statement
	HardwareValues  // the PCR values are not those that were quoted
	HardwarePCRs    // a PCR of the host has a value that the policy does not name
	HardwareLog     // the host's event log does not lead to the quoted values

	Nonce        // the statement is about another question
	OtherManager // the statement is of another manager
	OtherVTPM    // the statement is about another vTPM than the EK certificate
	OtherEpoch   // statement and EK certificate are of different epochs
	OtherEK      // the statement does not list the certified endorsement key
	Stale        // the statement's time is too far from the verifier's
	UUID         // the vTPM is not one of the policy
	Group        // its group is not one of the policy
	Unmeasured   // nobody whom the policy names measured the vTPM's image
	Image        // the vTPM's image is not one of the policy, or not that of its certificate
	Version      // its security version is too low
	Restored     // the vTPM's state was restored, and the policy forbids it
	Migratable   // it can be moved, and the policy forbids it
	Guard        // the manager's protection against rollback is not one of the policy
	XSM          // no security policy is enforced, and the policy wants one
	NotStart     // the PCRs may not be those of a start, and the policy wants that

	GuestKey       // the key of the guest quote is not the one of the statement
	GuestAttribute // that key could sign what is no attestation
	GuestSignature
	GuestAttest
	GuestBinding // the guest quote is not over this statement and hardware quote
	GuestValues
	GuestPCRs
	GuestLog
	GuestEvents // the guest's log has an event that the policy does not name

	EKKey // the endorsement key is not that of the certificate; of VerifyEK only

	StartUnmeasured // the guest's start was not measured and reported by whom the policy names
	StartImage      // what the guest started with is not one of the policy
)

var reasonNames = [...]string{"malformed", "incomplete", "virtual", "untrusted", "not-valid-now", "revoked", "no-revocation", "no-site",
	"host-claims", "manager", "manager-image", "manager-version", "ek-certificate", "ek-claims", "ek-manager", "proof", "hardware-key",
	"hardware-attribute", "hardware-signature", "hardware-attest", "hardware-binding", "hardware-values", "hardware-pcrs", "hardware-log",
	"nonce", "other-manager", "other-vtpm", "other-epoch", "other-ek", "stale", "uuid", "group", "unmeasured", "image", "version",
	"restored", "migratable", "guard", "xsm", "not-start", "guest-key", "guest-attribute", "guest-signature", "guest-attest",
	"guest-binding", "guest-values", "guest-pcrs", "guest-log", "guest-events", "ek-key",
	"start-unmeasured", "start-image"}

func (r Reason) String() string {
	if i := int(r) - int(Malformed); i >= 0 && i < len(reasonNames) {
		return reasonNames[i]
	}
	return fmt.Sprintf("reason %d", int(r))
}

// A Refusal is the error of evidence that was refused.
type Refusal struct {
	Reason Reason
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("verify: %s: %s", r.Reason, r.Detail) }

func refuse(r Reason, format string, args ...any) error {
	return &Refusal{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
