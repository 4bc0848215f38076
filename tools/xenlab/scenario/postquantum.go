package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// pqclientCommand is tools/pqclient in a guest.
const pqclientCommand = "/usr/sbin/pqclient"

// PostQuantum has the guest use ML-KEM and ML-DSA by its kernel's driver, and quote its PCRs
// by an ML-DSA-65 key; verify is what another implementation says of the signature.
func (d *Doorbell) PostQuantum(ctx context.Context, g guest, verify func(publicKey, message, signature []byte) error) error {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	out, err := d.run(ctx, g, fmt.Sprintf("%s -device /dev/tpm0 -quote %x", pqclientCommand, nonce))
	if err != nil {
		return err
	}
	values, said := map[string][]byte{}, ""
	for l := range strings.Lines(out) {
		name, digits, _ := strings.Cut(strings.TrimSpace(l), " ")
		switch name {
		case "key", "attest", "signature":
			if values[name], err = hex.DecodeString(digits); err != nil {
				return err
			}
		default:
			said += l
		}
	}
	d.r.Show(guestName, "pqclient -device /dev/tpm0 -quote NONCE", said)
	check(d.r, "the guest's client seals, activates, imports, encapsulates and signs by ML-KEM and ML-DSA", strings.Count(said, "\n") == 6, "%s", out)

	attest, signature := values["attest"], values["signature"]
	err = verify(values["key"], attest, signature)
	check(d.r, fmt.Sprintf("another implementation verifies the quote by ML-DSA-65: key of %d bytes, signature of %d", len(values["key"]), len(signature)), err == nil, "%v", err)
	check(d.r, "the quote has the nonce", bytes.Contains(attest, nonce), "%x", attest)
	altered := bytes.Clone(attest)
	altered[len(altered)-1] ^= 1
	check(d.r, "and does not verify with another digest", verify(values["key"], altered, signature) != nil, "")

	if out, err = d.run(ctx, g, "tpm2_pcrread sha256:0,1,2,3,4,5,6,7"); err != nil {
		return err
	}
	pcrs, h := parsePCRs(out), sha256.New()
	for i := range 8 {
		b, err := hex.DecodeString(strings.TrimPrefix(pcrs[fmt.Sprintf("sha256:%d", i)], "0x"))
		if err != nil || len(b) != sha256.Size {
			return fmt.Errorf("PCR %d: %q", i, out)
		}
		h.Write(b)
	}
	check(d.r, "the quote has the digest of the PCRs that tpm2_pcrread shows", bytes.HasSuffix(attest, h.Sum(nil)), "%x, PCRs\n%s", attest, out)
	return nil
}
