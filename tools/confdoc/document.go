package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"stubtpm/tools/difftest/stream"
	"stubtpm/vtpm/tcg"
)

const head = `# Conformance

Made by tools/confdoc; a test checks that it is up to date. The authority is the
Trusted Platform Module 2.0 Library, version 1.85.

## Commands

%d of %d commands of version 1.85 are implemented. Those that are not belong to parts that
a TPM may be without (see below):
%s.
The profile default-v2 has them all; the default, pc-client, all but the eight of version
1.85 (profiles.md).

"Since" is the revision that brought the command. Suites: those of the next section, by number, in which the
device carried the command out at least once. Tested by: E, each implemented
command is sent once and known to the device (tools/confdoc, and over the socket in
tools/hosted); D, generated with valid parameters and compared with swtpm
(tools/difftest), or, where swtpm has it not, with this device saved and restored
again and again; R, sent with random parameters and compared.

| Code | Command | Since | Implemented | Suites | Tested by |
|---|---|---|---|---|---|
`

const suitesHead = `
## Other projects' suites

Unchanged, as tools/conformance runs them ("make conformance"): Go's from the module
cache on the device in process, Debian's programs on the hosted device by the scripts
of tools/hosted and tools/everyday. Counts are of tests and, after a plus, subtests;
a known failure is one with a reason that is not the device's fault.

| | Suite | Version | Passed | Failed | Skipped | Known |
|---|---|---|---|---|---|---|
`

const absent = `
## Commands of parts that a TPM may be without

- Field upgrade (TPM2_FieldUpgradeStart, TPM2_FieldUpgradeData) and
  TPM2_FirmwareRead: the device's program is replaced from outside, as a file,
  and measured by whoever starts it. It has no firmware to hand out. %s
- Attached components (TPM2_AC_GetCapability, TPM2_AC_Send,
  TPM2_Policy_AC_SendSelect): none can be attached; the commands are deprecated
  since version 1.84. Their handle type is an empty list for TPM2_GetCapability. %s

A command that is not implemented is answered with TPM_RC_COMMAND_CODE (Part
3, 5.2.3).

TPM2_SetCapability is implemented and has nothing to set: the specification
defines no such capability, and this device has none of its own
(TPM_RC_VALUE). Countdown timers: there are two; what their signal does is left to
the platform (Part 1, 40.3), and here it is a line in the log, and shown by
TPM_CAP_ACT. Firmware- and SVN-limited hierarchies are there where who starts the
device gives it secrets of its firmware; elsewhere their handles are TPM_RC_VALUE.

## Where the text is not followed

- No userWithAuth, or adminWithPolicy, and a password or HMAC: TPM_RC_AUTH_UNAVAILABLE,
  as other TPMs say and as Part 2, Table 18 describes the code; Part 3, 5.6, items 5.1
  and 7.1 name TPM_RC_AUTH_TYPE and TPM_RC_POLICY_FAIL.
- A session's handle that is none of a session: TPM_RC_VALUE, of TPMI_SH_AUTH_SESSION
  (Part 2); Part 3, 5.5, item 4.1 names TPM_RC_HANDLE.
- pcrUpdateCounter at TPM Restart: PCRs that TPM2_Startup sets count as changed (Part 1,
  14.9 and 16.7.7.6), so that a policy session of before, which looked at PCRs, does not
  hold after; Part 3, 9.3.1 says that Restart leaves the counter as it is.
- Keys that sign messages, and the commands for them: the text of version 1.85 contradicts
  itself, or leaves a code open, in what follows.
  - The secret that ML-KEM encapsulates has 32 bytes (FIPS 203; Part 2, Table 205), not 64
    (Part 1, 47.4), and an external mu 64 (FIPS 204; Part 1, 46.3), not 512 (Part 2,
    Table 230). The length before an identity of SM2 is in bits (GB/T 32918.2-2016, 5.5, and
    its example), not in bytes (Part 1, 45.2.2.1).
  - A null ticket of TPM_ST_DIGEST_VERIFIED has its metadata (Part 2, Table 113), though
    10.6.5 writes it without: the hash algorithm, or TPM_ALG_NULL for an external mu, whose
    ticket is always null (errata 2.5).
  - A signature with a context gets a null ticket: TPM2_PolicyAuthorize takes only
    signatures without (Part 3, 23.16.1), and a ticket does not say that there was one.
  - A context that the scheme does not take, and a hint: TPM_RC_SIZE. So is a context
    beside an external mu or a digest of SM2, which have theirs in them.
  - TPM2_SignDigest and TPM2_VerifyDigestSignature with an ML-DSA key that does not allow
    an external mu: TPM_RC_EXT_MU. A restricted key cannot allow it: TPM_RC_ATTRIBUTES.
  - TPM2_SignSequenceStart with a restricted HMAC key, and with a key for certificates only
    (errata 2.2): TPM_RC_ATTRIBUTES. A message that begins like a structure of the TPM, in
    whatever pieces it comes, and a restricted key: TPM_RC_VALUE.
  - "The same key" (TPM_RC_SIGN_CONTEXT_KEY) is one of the same hierarchy and public area,
    and, for an HMAC key, with the same secret. TPM_RC_MODE for a sequence of another kind.
  - A parameter set of ML-DSA whose signatures do not fit the interface's buffer:
    TPM_RC_PARMS, of a key that is made or loaded, and of one that is to sign.
  - Signatures of ECDAA are made, with the counter as context, and not verified:
    TPM_RC_SCHEME.
- TPMA_PERMANENT (Part 2, 8.6): ownerAuthSet and the others tell that the value is not
  empty, not that it was set.

TPM_PT_YEAR is 0 and TPM_PT_DAY_OF_YEAR 1, the version of the errata that are followed
(errata 2.1; Part 2, 6.1).

## Differences to other TPMs

What tools/difftest finds when it sends the same commands to this device and to
Debian's swtpm, other than what is named in the specification as the TPM's
choice.

| Difference | Decided by | Reason |
|---|---|---|
`

// document is the text of docs/conformance.md.
func document() ([]byte, error) {
	d, err := newDevice()
	if err != nil {
		return nil, err
	}
	have, err := implemented(d)
	if err != nil {
		return nil, err
	}
	all := commands()
	n := 0
	var without []string
	for _, s := range all {
		if have[s.Code] {
			n++
		}
		if !have[s.Code] {
			without = append(without, strings.TrimPrefix(s.Name, "TPM2_"))
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, head, n, len(all), strings.Join(without, ", "))
	generated := stream.Generated()
	res, err := readResults(resultsFile)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		yes, by := "no", "R"
		if have[s.Code] {
			yes, by = "yes", "E R"
			if slices.Contains(generated, s.Code) {
				by = "E D"
			}
		}
		fmt.Fprintf(&b, "| 0x%03X | %s | %s | %s | %s | %s |\n", uint32(s.Code), s.Name, s.Since, yes, res.judges(s.Code), by)
	}
	b.WriteString(suitesHead)
	for i, s := range res.suites {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", i+1, s.name, s.version, s.sum(0), s.sum(1), s.sum(2), s.sum(3))
	}
	b.WriteString("\n")
	for _, n := range res.notes {
		fmt.Fprintf(&b, "- %s, %s: %s: %s.\n", n[0], n[1], n[2], n[3])
	}
	fmt.Fprintf(&b, absent,
		state(have, tcg.TPMCCFieldUpgradeStart, tcg.TPMCCFieldUpgradeData, tcg.TPMCCFirmwareRead),
		state(have, tcg.TPMCCACGetCapability, tcg.TPMCCACSend, tcg.TPMCCPolicyACSendSelect))
	for _, x := range stream.Differences {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", x.Name, x.Paragraph, x.Reason)
	}
	return b.Bytes(), nil
}

// printTable prints how many commands of each revision the device has.
func printTable(w io.Writer) error {
	d, err := newDevice()
	if err != nil {
		return err
	}
	have, err := implemented(d)
	if err != nil {
		return err
	}
	type count struct{ implemented, specified int }
	var revisions []string
	counts := map[string]*count{}
	var sum count
	var missing []string
	for _, s := range commands() {
		if counts[s.Since] == nil {
			revisions = append(revisions, s.Since)
			counts[s.Since] = new(count)
		}
		counts[s.Since].specified++
		sum.specified++
		if have[s.Code] {
			counts[s.Since].implemented++
			sum.implemented++
		} else {
			missing = append(missing, s.Name)
		}
	}
	slices.Sort(revisions)
	fmt.Fprintf(w, "%-24s %11s %10s\n", "commands by revision", "implemented", "specified")
	for _, r := range revisions {
		fmt.Fprintf(w, "%-24s %11d %10d\n", r, counts[r].implemented, counts[r].specified)
	}
	fmt.Fprintf(w, "%-24s %11d %10d\n", "all", sum.implemented, sum.specified)
	if len(missing) > 0 {
		fmt.Fprintf(w, "not implemented: %s\n", strings.Join(missing, " "))
	}
	return nil
}
