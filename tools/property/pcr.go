package property

import (
	"bytes"
	"cmp"
	"crypto"
	_ "crypto/sha1"   // a bank
	_ "crypto/sha256" // a bank
	_ "crypto/sha512" // two banks
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-eventlog/register"
	"github.com/google/go-eventlog/tcg"
	"github.com/google/go-tpm/tpm2"
)

// A bank is a hash algorithm of PCRs.
type bank struct {
	name string
	alg  tpm2.TPMIAlgHash
	hash crypto.Hash
}

// banks are in the order in which policies name them.
var banks = [...]bank{
	{"sha1", tpm2.TPMAlgSHA1, crypto.SHA1}, {"sha256", tpm2.TPMAlgSHA256, crypto.SHA256},
	{"sha384", tpm2.TPMAlgSHA384, crypto.SHA384}, {"sha512", tpm2.TPMAlgSHA512, crypto.SHA512},
}

// lastPCR is the last that the platform profile has.
const lastPCR = 23

// A PCR is one with the value that is approved.
type PCR struct {
	bank  int // index in banks
	index int
	value []byte
}

func (p PCR) name() string { return fmt.Sprintf("%s:%d", banks[p.bank].name, p.index) }

// parsePCRs reads "BANK:N=VALUE", or "BANK:N,N,..." for values of an event log.
// Without a bank it is sha256.
func parsePCRs(s string, log []byte) ([]PCR, error) {
	names, value, given := strings.Cut(s, "=")
	bankName, list, ok := strings.Cut(names, ":")
	if !ok {
		bankName, list = "sha256", names
	}
	b := slices.IndexFunc(banks[:], func(b bank) bool { return b.name == bankName })
	if b < 0 {
		return nil, fmt.Errorf("property: %q: bank %q", s, bankName)
	}
	var pcrs []PCR
	for n := range strings.SplitSeq(list, ",") {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 || i > lastPCR || strconv.Itoa(i) != n {
			return nil, fmt.Errorf("property: %q: PCR %q", s, n)
		}
		pcrs = append(pcrs, PCR{bank: b, index: i})
	}
	if !given {
		return pcrs, fromLog(pcrs, log)
	}
	v, err := hex.DecodeString(value)
	if err != nil || len(v) != banks[b].hash.Size() || len(pcrs) != 1 {
		return nil, fmt.Errorf("property: %q: a value is of one PCR, and of %d bytes in hexadecimal", s, banks[b].hash.Size())
	}
	pcrs[0].value = v
	return pcrs, nil
}

// sortPCRs sorts them as policies have them, and refuses none, and one that is
// there twice.
func sortPCRs(pcrs []PCR) error {
	if len(pcrs) == 0 {
		return fmt.Errorf("property: a policy of no PCR holds always")
	}
	slices.SortFunc(pcrs, func(a, b PCR) int { return cmp.Or(cmp.Compare(a.bank, b.bank), cmp.Compare(a.index, b.index)) })
	for i := 1; i < len(pcrs); i++ {
		if pcrs[i].name() == pcrs[i-1].name() {
			return fmt.Errorf("property: PCR %s is named twice", pcrs[i].name())
		}
	}
	return nil
}

// fromLog sets the values to those to which an event log leads.
func fromLog(pcrs []PCR, raw []byte) (err error) {
	// The parser of the log is not ours.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("property: event log: cannot be parsed: %v", r)
		}
	}()
	if len(raw) == 0 {
		return fmt.Errorf("property: PCR %s: neither a value nor an event log", pcrs[0].name())
	}
	log, err := tcg.ParseEventLog(raw, tcg.ParseOpts{})
	if err != nil {
		return fmt.Errorf("property: event log: %w", err)
	}
	for i := range pcrs {
		p := &pcrs[i]
		if p.value, err = replay(log.Events(register.HashAlg(banks[p.bank].alg)), *p); err != nil {
			return err
		}
		// The library judges what the values are good for.
		r := register.PCR{Index: p.index, Digest: p.value, DigestAlg: banks[p.bank].hash}
		if _, err := log.Verify([]register.MR{r}); err != nil {
			return fmt.Errorf("property: event log: PCR %s: %w", p.name(), err)
		}
	}
	return nil
}

// Events that are not extended, or not upon what was before (PC Client Platform
// Firmware Profile, "Event Types").
const (
	noAction = 0x00000003 // EV_NO_ACTION
	hcrtm    = 0x80000010 // EV_EFI_HCRTM_EVENT
)

// replay returns the value of a PCR after its events. Without any the value would
// say nothing of what was started, and replay returns an error.
func replay(events []tcg.Event, p PCR) ([]byte, error) {
	hash := banks[p.bank].hash
	value, extended := make([]byte, hash.Size()), false
	for _, e := range events {
		switch {
		case e.Index != p.index:
			continue
		case uint32(e.Type) == noAction:
			if p.index == 0 && len(e.Data) == 17 && bytes.HasPrefix(e.Data, []byte("StartupLocality\x00")) && !extended {
				value[len(value)-1] = e.Data[16]
			}
			continue
		case uint32(e.Type) == hcrtm && !extended:
			value[len(value)-1] = 4
		case len(e.Digest) != hash.Size():
			return nil, fmt.Errorf("property: event log: PCR %s: an event has no digest of this bank", p.name())
		}
		h := hash.New()
		h.Write(value)
		h.Write(e.Digest)
		value, extended = h.Sum(nil), true
	}
	if !extended {
		return nil, fmt.Errorf("property: event log: no event of PCR %s", p.name())
	}
	return value, nil
}

// selection returns the PCRs as TPML_PCR_SELECTION, and as tpm2_policypcr takes
// them: "sha256:4,8+sha384:4".
func selection(pcrs []PCR) (s tpm2.TPMLPCRSelection, text string) {
	last := -1
	for _, p := range pcrs {
		if p.bank != last {
			s.PCRSelections = append(s.PCRSelections, tpm2.TPMSPCRSelection{Hash: banks[p.bank].alg, PCRSelect: make([]byte, 3)})
			if text != "" {
				text += "+"
			}
			text += banks[p.bank].name + ":"
		} else {
			text += ","
		}
		last = p.bank
		s.PCRSelections[len(s.PCRSelections)-1].PCRSelect[p.index/8] |= 1 << (p.index % 8)
		text += strconv.Itoa(p.index)
	}
	return s, text
}

// parseSelection reads what selection writes, and the values.
func parseSelection(text string, values []byte) ([]PCR, error) {
	var pcrs []PCR
	for part := range strings.SplitSeq(text, "+") {
		name, list, _ := strings.Cut(part, ":")
		b := slices.IndexFunc(banks[:], func(b bank) bool { return b.name == name })
		if b < 0 {
			return nil, fmt.Errorf("%w: PCRs %q", ErrRefused, text)
		}
		for n := range strings.SplitSeq(list, ",") {
			i, err := strconv.Atoi(n)
			size := banks[b].hash.Size()
			if err != nil || i < 0 || i > lastPCR || len(values) < size {
				return nil, fmt.Errorf("%w: PCRs %q", ErrRefused, text)
			}
			pcrs = append(pcrs, PCR{b, i, values[:size]})
			values = values[size:]
		}
	}
	if err := sortPCRs(pcrs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if _, again := selection(pcrs); again != text || len(values) != 0 {
		return nil, fmt.Errorf("%w: PCRs %q, and %d bytes of values left over", ErrRefused, text, len(values))
	}
	return pcrs, nil
}

// values returns the values one after another, as tpm2_policypcr takes them.
func values(pcrs []PCR) []byte {
	var b []byte
	for _, p := range pcrs {
		b = append(b, p.value...)
	}
	return b
}
