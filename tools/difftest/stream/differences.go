package stream

import (
	"bytes"
	"encoding/binary"
	"slices"

	"stubtpm/vtpm/tcg"
)

// A Difference is a known difference between our device and another TPM that is not
// an error of ours. Paragraph is what the specification (version 1.85) says about it,
// Reason why the TPMs differ.
type Difference struct {
	Name      string
	Paragraph string
	Reason    string

	match func(c *command, r *pair[response]) bool
}

// ownProperty lists the TPM_PT whose values each TPM chooses (Part 2, Table 28).
var ownProperty = map[uint32]bool{
	0x102: true, 0x103: true, 0x104: true, // revision and date of the specification
	0x105: true, 0x106: true, 0x107: true, 0x108: true, 0x109: true, 0x10A: true, 0x10B: true, 0x10C: true, // manufacturer and firmware
	0x10D: true, 0x10E: true, 0x10F: true, 0x110: true, 0x111: true, // slots
	0x114: true, 0x115: true, // context gap, counters
	0x116: true, 0x117: true, 0x118: true, 0x119: true, 0x11A: true, 0x11B: true, 0x11C: true, 0x11D: true,
	0x11E: true, 0x11F: true, 0x120: true, 0x121: true, 0x122: true, // sizes
	0x123: true, 0x124: true, 0x125: true, 0x126: true, 0x127: true, // platform specification
	0x128: true, 0x129: true, 0x12A: true, 0x12B: true, 0x12C: true, 0x12D: true, 0x12E: true,
	0x204: true, 0x205: true, 0x206: true, // free slots
	0x207: true, 0x20B: true, 0x209: true, 0x20A: true, 0x20C: true, 0x20D: true, // free resources
}

// Differences lists the known differences. The first one that matches counts.
var Differences = []Difference{
	{
		Name:      "command not implemented here",
		Paragraph: "Part 3, 5.4: TPM_RC_COMMAND_CODE",
		Reason:    "docs/conformance.md lists the commands that are not implemented",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCCommandCode
		},
	},
	{
		Name:      "command not implemented there",
		Paragraph: "Part 3, 5.4: TPM_RC_COMMAND_CODE",
		Reason:    "the other TPM implements an older revision or omits the command",
		match: func(c *command, r *pair[response]) bool {
			return r[other].rc == tcg.TPMRCCommandCode || c.code == tcg.TPMCCPolicyCommandCode && r[ours].rc == 0 && r[other].rc == tcg.TPMRCPolicyCC.P(1)
		},
	},
	{
		Name:      "invalid tag",
		Paragraph: "Part 3, 5.2.1 and 6.1: TPM_RC_BAD_TAG",
		Reason:    "swtpm returns a format-one code without a position",
		match:     codes(tcg.TPMRCBadTag, 0x84),
	},
	{
		Name:      "authorizationSize out of range",
		Paragraph: "Part 3, 5.5, item 3: TPM_RC_AUTHSIZE",
		Reason:    "swtpm returns TPM_RC_SIZE or TPM_RC_INSUFFICIENT",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCAuthSize && (r[other].rc == 0x095 || r[other].rc == 0x09A)
		},
	},
	{
		Name:      "sessions for a command that allows none",
		Paragraph: "Part 3, 5.5, item 1: TPM_RC_AUTH_CONTEXT",
		Reason:    "swtpm checks authorizationSize first",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCAuthContext && (r[other].rc == 0x095 || r[other].rc == 0x09A)
		},
	},
	{
		Name:      "more objects, sessions and space",
		Paragraph: "Part 2, Table 28: TPM_PT_HR_TRANSIENT_MIN and others are minima",
		Reason:    "swtpm has 3 slots; TPM2_Create and each persistent object in use need one of them. Its NV memory is smaller",
		match: func(c *command, r *pair[response]) bool {
			switch r[other].rc {
			case tcg.TPMRCObjectMemory, tcg.TPMRCSessionMemory, tcg.TPMRCMemory, tcg.TPMRCNVSpace:
				return true
			}
			return false
		},
	},
	{
		Name:      "larger buffers",
		Paragraph: "Part 2, Table 92 and others: the size of TPM2B depends on the largest key",
		Reason:    "a size that exceeds swtpm's buffer (RSA-3072), but not ours, is an error of missing bytes here",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc&0xBF == 0x9A && r[other].rc&0xBF == 0x95 && r[ours].rc&^0xBF == r[other].rc&^0xBF
		},
	},
	{
		Name:      "encrypted parameter longer than the command",
		Paragraph: "Part 3, 5.7 and 5.8.2: the order is not specified",
		Reason:    "swtpm detects it during decryption and reports the session, we during parsing and report the parameter",
		match: func(c *command, r *pair[response]) bool {
			return r[other].rc&^0x700 == 0x895 && (r[ours].rc == 0x1DA || r[ours].rc == 0x1D5)
		},
	},
	{
		Name:      "curves that only the other TPM has",
		Paragraph: "Part 2, 11.2.5.5 (TPMI_ECC_CURVE): each implementation chooses the set",
		Reason:    "swtpm has P-192 and BN-638, which none of our profiles has",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCECCParameters || r[ours].rc&0x3F == 0x26
		},
	},
	{
		Name:      "capabilities of later revisions",
		Paragraph: "Part 3, 30.2.1: ACTs are listed",
		Reason:    "swtpm rejects capabilities that its revision does not define",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCGetCapability && (r[other].rc == 0x1C4 || r[other].rc == 0x2C4)
		},
	},
	{
		Name:      "commands that need physical presence, authorization of PCRs",
		Paragraph: "PC Client Platform TPM Profile, 4.6 and 5.8; Part 2, Table 29",
		Reason:    "our PCRs have neither policies nor authorization values; the platform chooses which commands need presence",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCGetCapability && r[ours].rc == 0 && r[other].rc == 0 && (r[ours].params[4] == 3 || r[ours].params[4] == 7)
		},
	},
	{
		Name:      "position of an error",
		Paragraph: "Part 2, 6.6.2: a format-one code names the erroneous parameter if it is known",
		Reason:    "swtpm gives no position for TPM_RC_BINDING, nor for sizes that its cryptographic functions reject",
		match: func(c *command, r *pair[response]) bool {
			return r[other].rc&^0x3F == 0x80 && r[ours].rc&0xC0 == 0xC0 && r[ours].rc&0x3F == r[other].rc&0x3F
		},
	},
	{
		Name:      "HMAC key without a scheme",
		Paragraph: "Part 3, 15.5.1: if the default scheme is TPM_ALG_NULL, the caller selects the hash",
		Reason:    "swtpm requires a scheme unless the key can also decrypt",
		match:     codes(0, 0x2D2),
	},
	{
		Name:      "handle of a context beyond the slots",
		Paragraph: "Part 2, Table 57 (TPMI_DH_CONTEXT): all transient and session handles; then TPM_RC_HANDLE or TPM_RC_REFERENCE",
		Reason:    "swtpm accepts only the handles that it can assign itself",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCFlushContext && r[ours].rc == 0x1CB || c.code == tcg.TPMCCContextSave && r[ours].rc == 0x910 && (r[other].rc == 0x184 || r[other].rc == 0x18B)
		},
	},
	{
		Name:      "policy session named as an HMAC session",
		Paragraph: "Part 3, 5.5, item 4.2: TPM_RC_REFERENCE_S0 if it is not loaded; the kinds must match",
		Reason:    "swtpm finds the slot and then refuses its kind",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc&^7 == 0x918 && r[other].rc&0xFF == 0x8B
		},
	},
	{
		Name:      "certification of sequences",
		Paragraph: "Part 3, 18.2.1: objects loaded with TPM2_Load or TPM2_CreatePrimary",
		Reason:    "swtpm certifies a sequence, whose name is empty",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCCertify && r[ours].rc == 0x18A
		},
	},
	{
		Name:      "auditExclusive or auditReset without audit",
		Paragraph: "Part 2, 8.4 (TPMA_SESSION): only if audit is SET; TPM_RC_ATTRIBUTES",
		Reason:    "swtpm ignores the two bits then",
		match: func(c *command, r *pair[response]) bool {
			for _, a := range c.auths {
				if a.attrs&attrAudit == 0 && a.attrs&0x06 != 0 && r[ours].rc&^0x700 == 0x882 {
					return true
				}
			}
			return false
		},
	},
	{
		Name:      "rest of ivOut after a partial block",
		Paragraph: "Part 3, Table 64: ivOut has the size of a block; its remaining bytes are not specified",
		Reason:    "we fill it with zeros, swtpm leaves what its cipher computed",
		match: func(c *command, r *pair[response]) bool {
			return (c.code == tcg.TPMCCEncryptDecrypt || c.code == tcg.TPMCCEncryptDecrypt2) && r[ours].rc == 0 && r[other].rc == 0 &&
				string(split(c.code, r[ours].params)[0]) == string(split(c.code, r[other].params)[0])
		},
	},
	{
		Name:      "spoiled command with two errors",
		Paragraph: "Part 3, 5.8.2 and the text of each command: the order of checks is not specified",
		Reason:    "both codes are errors, and the command was spoiled",
		match: func(c *command, r *pair[response]) bool {
			// Lockout depends on earlier commands, not on the order of checks.
			return c.spoiled != "" && r[ours].rc != 0 && r[other].rc != 0 && r[ours].rc != tcg.TPMRCLockout && r[other].rc != tcg.TPMRCLockout
		},
	},
	{
		Name:      "TPM2_PolicyTemplate in a session restricted by another hash",
		Paragraph: "Part 3, 23.21.1: TPM_RC_CPHASH",
		Reason:    "swtpm returns TPM_RC_VALUE, which version 1.38 allowed",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCPolicyTemplate && r[ours].rc == tcg.TPMRCCPHash && r[other].rc == tcg.TPMRCValue.P(1)
		},
	},
	{
		Name:      "bytes of an index that were never written",
		Paragraph: "Part 3, 31.7.1: the initial contents are not specified",
		Reason:    "ones here; zeros in swtpm, for indices with TPMA_NV_ORDERLY",
		match: func(c *command, r *pair[response]) bool {
			if c.code != tcg.TPMCCNVRead && c.code != tcg.TPMCCNVCertify || r[ours].rc != 0 || r[other].rc != 0 {
				return false
			}
			// The contents are at the end of both; TPM2_NV_Certify has values
			// of each TPM before them.
			a, b := split(c.code, r[ours].params)[0], split(c.code, r[other].params)[0]
			size := c.params[len(c.params)-2][ours]
			n := int(size[0])<<8 | int(size[1])
			return n <= min(len(a), len(b)) && blankBytes(a[len(a)-n:], b[len(b)-n:])
		},
	},
	{
		Name:      "AES with keys of 192 bits",
		Paragraph: "Part 2, Table 136 (TPMI_AES_KEY_BITS): the key sizes that are implemented",
		Reason:    "Debian's libtpms implements 128 and 256",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc != r[other].rc && r[other].rc&^0xF00 == 0xC4 && slices.ContainsFunc(c.params, func(p bytesPair) bool {
				return bytes.Contains(p[ours], []byte{0, 6, 0, 0xC0})
			})
		},
	},
	{
		Name:      "keys limited to the firmware",
		Paragraph: "Part 2, 8.3.3.8 and 8.3.3.9: TPM_RC_ATTRIBUTES outside such a hierarchy, and for an external key",
		Reason:    "swtpm's revision does not define the attributes",
		match: func(c *command, r *pair[response]) bool {
			return c.spoiled != "" && r[ours].rc == tcg.TPMRCAttributes.P(2) && r[other].rc != tcg.TPMRCAttributes.P(2) &&
				(c.code == tcg.TPMCCLoadExternal || c.code == tcg.TPMCCCreate || c.code == tcg.TPMCCCreatePrimary)
		},
	},
	{
		Name:      "mode of a storage key's cipher",
		Paragraph: "Part 1, 19.4: children are encrypted in CFB mode",
		Reason:    "swtpm accepts a template with another mode",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == tcg.TPMRCMode.P(2) && r[other].rc == 0 && (c.code == tcg.TPMCCCreate || c.code == tcg.TPMCCCreatePrimary)
		},
	},
	{
		Name:      "Camellia",
		Paragraph: "Part 2, Table 12 and 9.27 (TPMI_ALG_SYM): the algorithms that are implemented",
		Reason:    "it is optional in our profiles, and always present in swtpm",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc&^0xF00 == 0xD6 && slices.ContainsFunc(c.params, func(p bytesPair) bool {
				return bytes.Contains(p[ours], []byte{0, 0x26})
			})
		},
	},
	{
		Name:      "authorization failures that a restart adds",
		Paragraph: "Part 1, 16.8.6: failedTries is incremented after a disorderly shutdown, unless no failure can be lost",
		Reason:    "our device saves each failure before the response",
		match: func(c *command, r *pair[response]) bool {
			if !c.restarted {
				return false
			}
			if c.code == tcg.TPMCCGetCapability && r[ours].rc == 0 && r[other].rc == 0 {
				a, aok := property(r[ours].params, lockoutCounter)
				b, bok := property(r[other].params, lockoutCounter)
				return aok && bok && b == a+1
			}
			return r[other].rc == tcg.TPMRCLockout && r[ours].rc != tcg.TPMRCLockout
		},
	},
	{
		Name:      "auditReset in a response",
		Paragraph: "Part 2, 8.4 (TPMA_SESSION): always CLEAR in a response",
		Reason:    "swtpm copies it from the command",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc == 0 && r[other].rc == 0 && slices.ContainsFunc(c.auths, func(a *auth) bool { return a.attrs&0x84 == 0x84 })
		},
	},
	{
		Name:      "PCR allocation is returned in full",
		Paragraph: "Part 3, 30.2.1: TPM_CAP_PCRS returns the full allocation",
		Reason:    "swtpm returns nothing if propertyCount is 0",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCGetCapability && r[ours].rc == 0 && r[other].rc == 0 && string(r[other].params[1:]) == "\x00\x00\x00\x05\x00\x00\x00\x00"
		},
	},
	{
		Name:      "libtpms in failure mode",
		Paragraph: "Part 3, 5.6, item 1: TPM_RC_AUTH_UNAVAILABLE without the private part",
		Reason:    "libtpms 0.9.2 enters failure mode (TPM_RC_FAILURE) when some commands use a key with only its public part loaded, and stays in it",
		match: func(c *command, r *pair[response]) bool {
			return r[other].rc == tcg.TPMRCFailure && r[ours].rc != tcg.TPMRCFailure
		},
	},
	{
		Name:      "persistent handle outside the range of the authorizing hierarchy",
		Paragraph: "Part 3, 28.5.1, item 8: TPM_RC_RANGE",
		Reason:    "swtpm returns TPM_RC_HIERARCHY",
		match:     codes(0x28D, 0x285),
	},
	{
		Name:      "firmware-limited hierarchies",
		Paragraph: "Part 2, Table 59 (TPMI_RH_HIERARCHY)",
		Reason:    "swtpm's revision does not have them",
		match:     codes(0, 0x3C4),
	},
	{
		Name:      "damaged private area",
		Paragraph: "Part 3, 12.2.1: TPM_RC_INTEGRITY or TPM_RC_SIZE",
		Reason:    "an empty or short private area contains no integrity value to check",
		match:     codes(0x1D5, 0x1DF),
	},
	{
		Name:      "signed comparison",
		Paragraph: "Part 2, 6.9 (TPM_EO): two's complement",
		Reason:    "libtpms 0.9.2 compares some negative operands wrongly; fixed in 0.10",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCPolicyNV && (r[ours].rc == 0 && r[other].rc == tcg.TPMRCPolicy || r[ours].rc == tcg.TPMRCPolicy && r[other].rc == 0)
		},
	},
	{
		Name:      "policy session named by the other kind of handle",
		Paragraph: "Part 3, 5.4, item 2.4: TPM_RC_REFERENCE_H0 if it is not loaded",
		Reason:    "swtpm finds the slot and then refuses its kind",
		match:     codes(0x910, 0x18B),
	},
	{
		Name:      "policy session for an index without a policy",
		Paragraph: "Part 3, 5.6, items 7.2 and 8.4: TPM_RC_POLICY_FAIL if the attribute allows it",
		Reason:    "swtpm returns TPM_RC_AUTH_UNAVAILABLE",
		match:     codes(0x99D, 0x12F),
	},
	{
		Name:      "salt and its key: order",
		Paragraph: "Part 3, 11.1.1: TPM_RC_ATTRIBUTES of tpmKey, TPM_RC_VALUE of encryptedSalt, in no specified order",
		Reason:    "an empty salt for a key that cannot decrypt is two errors",
		match:     codes(0x182, 0x2C4),
	},
	{
		Name:      "ticket with another tag",
		Paragraph: "Part 2, Table 112 and others (TPMT_TK_): TPM_RC_TAG",
		Reason:    "swtpm returns TPM_RC_VALUE",
		match: func(c *command, r *pair[response]) bool {
			return r[ours].rc&0x3F == 0x17 && r[other].rc&0x3F == 0x04
		},
	},
	{
		Name:      "hash and key of a MAC: order",
		Paragraph: "Part 3, 15.5.1: TPM_RC_KEY, TPM_RC_VALUE, in no specified order",
		Reason:    "swtpm checks the hash before the key's attributes",
		match: func(c *command, r *pair[response]) bool {
			return (c.code == tcg.TPMCCMAC || c.code == tcg.TPMCCMACStart) && r[ours].rc == 0x19C && r[other].rc == 0x2C4
		},
	},
	{
		Name:      "TPM2_RSA_Encrypt with a key that does not decrypt",
		Paragraph: "Part 3, 14.2.1: the TPM does not check the consistency of the attributes",
		Reason:    "swtpm returns TPM_RC_ATTRIBUTES",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCRSAEncrypt && r[other].rc == 0x182
		},
	},
	{
		Name:      "codes of policy commands",
		Paragraph: "Part 3, 23.2.2 (nonceTPM: TPM_RC_VALUE), 23.2.4 (commandCode: TPM_RC_POLICY_CC), 23.3.1 (TPM_RC_POLICY_FAIL), 23.9.1 (TPM_RC_NV_RANGE), 23.16.1 (TPM_RC_POLICY)",
		Reason:    "swtpm returns TPM_RC_NONCE, TPM_RC_COMMAND_CODE, TPM_RC_SIGNATURE, TPM_RC_SIZE, TPM_RC_VALUE of the ticket",
		match: func(c *command, r *pair[response]) bool {
			type codes struct {
				code        tcg.TPMCC
				ours, other tcg.TPMRC
			}
			switch (codes{c.code, r[ours].rc, r[other].rc}) {
			case codes{tcg.TPMCCPolicySecret, tcg.TPMRCValue.P(1), tcg.TPMRCNonce.P(1)},
				codes{tcg.TPMCCPolicySigned, tcg.TPMRCValue.P(1), tcg.TPMRCNonce.P(1)},
				codes{tcg.TPMCCPolicySigned, tcg.TPMRCPolicyFail, tcg.TPMRCSignature.P(5)},
				codes{tcg.TPMCCPolicyDuplicationSelect, tcg.TPMRCPolicyCC, tcg.TPMRCCommandCode},
				codes{tcg.TPMCCPolicyNV, tcg.TPMRCNVRange, tcg.TPMRCSize.P(1)},
				codes{tcg.TPMCCPolicyAuthorize, tcg.TPMRCPolicy, tcg.TPMRCValue.P(4)}:
				return true
			}
			return false
		},
	},
	{
		Name:      "Time in TPM2_PolicyCounterTimer",
		Paragraph: "Part 3, 23.10.1: nothing is checked in a trial session; TPM_EO_UNSIGNED_LT of Time limits the session",
		Reason:    "swtpm checks offset and size in a trial session too, and compares Time like any other number, as before version 1.83",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCPolicyCounterTimer && (r[ours].rc == 0 || r[ours].rc&^0xF40 == tcg.TPMRCExpired || r[ours].rc == tcg.TPMRCValue.P(1))
		},
	},
	{
		Name:      "session flushed by the other kind of handle",
		Paragraph: "Part 3, 28.4.1: the upper byte of a session's handle is ignored",
		Reason:    "swtpm returns TPM_RC_HANDLE",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCFlushContext && r[ours].rc == 0 && r[other].rc == 0x1CB
		},
	},
	{
		Name:      "counter without a pending commit",
		Paragraph: "Part 1, 44.2.5, step 2: TPM_RC_RANGE",
		Reason:    "swtpm returns TPM_RC_VALUE",
		match: func(c *command, r *pair[response]) bool {
			return (c.code == tcg.TPMCCZGen2Phase || c.code == tcg.TPMCCSign) &&
				r[ours].rc&0xBF == tcg.TPMRCRange && r[other].rc&0xBF == tcg.TPMRCValue
		},
	},
	{
		Name:      "policy session with two errors",
		Paragraph: "Part 3, 5.6, item 8: checks of expiry, cpHash, command code, digest, PCRs and locality, in this order",
		Reason:    "swtpm checks the digest before the command code",
		match: func(c *command, r *pair[response]) bool {
			fault := func(rc tcg.TPMRC) bool {
				switch rc &^ 0xF00 {
				case tcg.TPMRCExpired, tcg.TPMRCPolicyFail, tcg.TPMRCPolicyCC, tcg.TPMRCPP:
					return rc&0x800 != 0
				}
				return rc == tcg.TPMRCPCRChanged || rc == tcg.TPMRCLocality
			}
			return fault(r[ours].rc) && fault(r[other].rc)
		},
	},
	{
		Name:      "public keys made persistent",
		Paragraph: "Part 3, 28.5.1: allowed since version 1.85",
		Reason:    "swtpm rejects objects without a private part (TPM_RC_ATTRIBUTES)",
		match: func(c *command, r *pair[response]) bool {
			return c.code == tcg.TPMCCEvictControl && r[other].rc == 0x282
		},
	},
}

// codes returns a match for a pair of response codes.
func codes(a, b tcg.TPMRC) func(*command, *pair[response]) bool {
	return func(_ *command, r *pair[response]) bool { return r[ours].rc == a && r[other].rc == b }
}

// blankBytes reports whether two values differ only in bytes that are 0xFF in ours and
// 0 in the other.
func blankBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (a[i] != 0xFF || b[i] != 0) {
			return false
		}
	}
	return true
}

// lockoutCounter is TPM_PT_LOCKOUT_COUNTER.
const lockoutCounter = 0x20E

// property returns the value of a TPM_PT in the response to TPM2_GetCapability.
func property(params []byte, tag uint32) (uint32, bool) {
	if len(params) < 9 || binary.BigEndian.Uint32(params[1:]) != uint32(tcg.TPMCapTPMProperties) {
		return 0, false
	}
	for b := params[9:]; len(b) >= 8; b = b[8:] {
		if binary.BigEndian.Uint32(b) == tag {
			return binary.BigEndian.Uint32(b[4:]), true
		}
	}
	return 0, false
}
