package eventlog

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-eventlog/register"
	gotcg "github.com/google/go-eventlog/tcg"

	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto"
)

var fourBanks = []tcg.TPMAlgID{tcg.TPMAlgSHA1, tcg.TPMAlgSHA256, tcg.TPMAlgSHA384, tcg.TPMAlgSHA512}

// launch returns the log of an H-CRTM, a few events and separators.
func launch(t testing.TB, banks ...tcg.TPMAlgID) *Log {
	t.Helper()
	l, err := New(banks...)
	if err != nil {
		t.Fatal(err)
	}
	l.Events = append(l.Events,
		StartupLocality(banks, 4),
		Event{0, EVEFIHCRTMEvent, Hash(banks, []byte("measurer 1")), []byte("HCRTM")},
		Event{1, EVPlatformConfigFlags, Hash(banks, []byte("memory=512")), []byte("memory=512")},
		Event{4, EVPostCode, Hash(banks, make([]byte, 4096)), []byte("kernel")},
		Event{9, EVEventTag, Hash(banks, []byte("initrd")), []byte("\xec\x22\x3b\x8f\x0d\x00\x00\x00Linux initrd\x00")})
	for pcr := range uint32(8) {
		l.Events = append(l.Events, Separator(banks, pcr))
	}
	return l
}

func encode(t testing.TB, l *Log) []byte {
	t.Helper()
	b, err := l.Encode(AreaSize)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLayout compares the first bytes with an encoding by hand.
func TestLayout(t *testing.T) {
	t.Parallel()
	l, err := New(tcg.TPMAlgSHA256)
	if err != nil {
		t.Fatal(err)
	}
	l.Events = []Event{Separator(l.Algs(), 7)}
	want := "00000000" + "03000000" + strings.Repeat("00", 20) + "21000000" +
		hex.EncodeToString([]byte("Spec ID Event03")) + "00" + "00000000" + "00020002" + "01000000" + "0b002000" + "00" +
		"07000000" + "04000000" + "01000000" + "0b00" + "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119" + "04000000" + "00000000"
	if got := hex.EncodeToString(encode(t, l)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseEncoded(t *testing.T) {
	t.Parallel()
	want := encode(t, launch(t, fourBanks...))
	area := make([]byte, AreaSize)
	copy(area, want)
	l, size, err := Parse(area)
	if err != nil || size != len(want) {
		t.Fatalf("%d bytes of %d: %v", size, len(want), err)
	}
	if !bytes.Equal(encode(t, l), want) {
		t.Error("the log is another after Parse and Encode")
	}
	if _, err := l.Encode(size - 1); !errors.Is(err, ErrFull) {
		t.Errorf("into an area that is too small: %v", err)
	}
}

// TestCut parses every beginning of a log: it is an error, or a log of fewer events.
func TestCut(t *testing.T) {
	t.Parallel()
	l := launch(t, fourBanks...)
	whole := encode(t, l)
	ends := map[int]int{}
	for n := range len(l.Events) + 1 {
		ends[len(encode(t, &Log{l.Banks, l.Events[:n]}))] = n
	}
	for n := range whole {
		got, _, err := Parse(whole[:n:n])
		if events, ok := ends[n]; ok && (err != nil || len(got.Events) != events) {
			t.Errorf("%d bytes: %v", n, err)
		} else if !ok && err == nil && !zeros(whole[len(encode(t, got)):n]) { // an event may begin with zeros
			t.Errorf("%d bytes were taken for a log of %d events", n, len(got.Events))
		} else if err != nil && !errors.Is(err, ErrLog) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	sha256Only := []tcg.TPMAlgID{tcg.TPMAlgSHA256}
	for name, change := range map[string]func(b []byte){
		"PCR of the header":          func(b []byte) { b[0] = 1 },
		"type of the header":         func(b []byte) { b[4] = 4 },
		"signature":                  func(b []byte) { b[32] = 's' },
		"version":                    func(b []byte) { b[53] = 1 },
		"no bank":                    func(b []byte) { b[56] = 0 },
		"two banks":                  func(b []byte) { b[56] = 2 },
		"too many banks":             func(b []byte) { b[59] = 0x80 },
		"digest of 20 bytes":         func(b []byte) { b[62] = 20 },
		"unknown bank of 200 bytes":  func(b []byte) { b[60], b[62] = 0xFF, 200 },
		"vendor information missing": func(b []byte) { b[64] = 1 },
		"header with a byte more":    func(b []byte) { b[28]++ },
		"PCR 24":                     func(b []byte) { b[65] = 24 },
		"no digest":                  func(b []byte) { b[73] = 0 },
		"two digests":                func(b []byte) { b[73] = 2 },
		"many digests":               func(b []byte) { b[76] = 0xFF },
		"digest of another bank":     func(b []byte) { b[77] = 4 },
		"data of 4 GiB":              func(b []byte) { copy(b[len(b)-8:], "\xff\xff\xff\xff") },
	} {
		l, err := New(sha256Only...)
		if err != nil {
			t.Fatal(err)
		}
		l.Events = []Event{Separator(sha256Only, 7)}
		b := encode(t, l)
		change(b)
		if _, _, err := Parse(b); !errors.Is(err, ErrLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, banks := range map[string][]tcg.TPMAlgID{"none": nil, "twice": {4, 4}, "not a hash": {tcg.TPMAlgAES}} {
		if _, err := New(banks...); !errors.Is(err, ErrLog) {
			t.Errorf("banks %s: %v", name, err)
		}
	}
	for name, e := range map[string]Event{
		"digest missing":   {PCR: 1},
		"digest too short": {PCR: 1, Digests: []Digest{{tcg.TPMAlgSHA256, make([]byte, 31)}}},
		"PCR 24":           {PCR: 24, Type: EVIPL, Digests: Zero(sha256Only)},
	} {
		l := &Log{Banks: []Bank{{tcg.TPMAlgSHA256, 32}}, Events: []Event{e}}
		if _, err := l.Encode(AreaSize); !errors.Is(err, ErrLog) {
			t.Errorf("%s: Encode: %v", name, err)
		}
		if _, err := l.Replay(tcg.TPMAlgSHA256); !errors.Is(err, ErrLog) {
			t.Errorf("%s: Replay: %v", name, err)
		}
	}
}

// TestReplayRefused gives Replay logs that contradict themselves.
func TestReplayRefused(t *testing.T) {
	t.Parallel()
	algs := []tcg.TPMAlgID{tcg.TPMAlgSHA256}
	hcrtm := Event{0, EVEFIHCRTMEvent, Hash(algs, []byte("m")), []byte("HCRTM")}
	for name, events := range map[string][]Event{
		"locality 2":         {StartupLocality(algs, 2)},
		"two localities":     {StartupLocality(algs, 0), StartupLocality(algs, 4)},
		"late locality":      {Separator(algs, 0), StartupLocality(algs, 3)},
		"locality of PCR 1":  {{PCR: 1, Type: EVNoAction, Digests: Zero(algs), Data: []byte(startupLocality + "\x04")}},
		"no locality":        {{Type: EVNoAction, Digests: Zero(algs), Data: []byte(startupLocality)}},
		"H-CRTM in PCR 1":    {{1, EVEFIHCRTMEvent, Zero(algs), nil}},
		"H-CRTM, locality 3": {StartupLocality(algs, 3), hcrtm},
		"late H-CRTM":        {StartupLocality(algs, 4), Separator(algs, 0), hcrtm},
		"two H-CRTMs":        {StartupLocality(algs, 4), hcrtm, hcrtm},
	} {
		l := &Log{Banks: []Bank{{tcg.TPMAlgSHA256, 32}}, Events: events}
		if v, err := l.Replay(tcg.TPMAlgSHA256); !errors.Is(err, ErrLog) {
			t.Errorf("%s: %x, %v", name, v, err)
		}
	}
	if _, err := launch(t, algs...).Replay(tcg.TPMAlgSHA1); !errors.Is(err, ErrLog) {
		t.Errorf("a bank that is not there: %v", err)
	}
}

// TestReplay computes two PCRs by hand.
func TestReplay(t *testing.T) {
	t.Parallel()
	algs := []tcg.TPMAlgID{tcg.TPMAlgSHA256}
	got, err := launch(t, algs...).Replay(tcg.TPMAlgSHA256)
	if err != nil {
		t.Fatal(err)
	}
	extend := func(old, data []byte) []byte {
		d := sha256.Sum256(data)
		v := sha256.Sum256(append(old, d[:]...))
		return v[:]
	}
	four := make([]byte, 32)
	four[31] = 4
	if want := extend(extend(four, []byte("measurer 1")), make([]byte, 4)); !bytes.Equal(got[0], want) {
		t.Errorf("PCR 0: %x, want %x", got[0], want)
	}
	if want := extend(make([]byte, 32), []byte("initrd")); !bytes.Equal(got[9], want) {
		t.Errorf("PCR 9: %x, want %x", got[9], want)
	}
	if _, ok := got[10]; ok || len(got) != 9 {
		t.Errorf("%d PCRs were extended, want 0 to 7 and 9", len(got))
	}
}

// TestGoEventlog compares PCR 0, which begins with the locality, with what
// go-eventlog computes.
func TestGoEventlog(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e []Event) []Event{
		"H-CRTM":                      func(e []Event) []Event { return e },
		"H-CRTM, locality not stated": func(e []Event) []Event { return e[1:] },
		"locality 0":                  func(e []Event) []Event { return append([]Event{StartupLocality(fourBanks, 0)}, e[2:]...) },
		"locality 3":                  func(e []Event) []Event { return append([]Event{StartupLocality(fourBanks, 3)}, e[2:]...) },
		"locality 0, not stated":      func(e []Event) []Event { return e[2:] },
	} {
		l := launch(t, fourBanks...)
		l.Events = change(l.Events)
		for bank, h := range map[tcg.TPMAlgID]crypto.Hash{tcg.TPMAlgSHA1: crypto.SHA1, tcg.TPMAlgSHA256: crypto.SHA256, tcg.TPMAlgSHA384: crypto.SHA384} {
			values, err := l.Replay(bank)
			if err != nil {
				t.Fatal(err)
			}
			other, err := gotcg.ParseEventLog(encode(t, l), gotcg.ParseOpts{})
			if err != nil {
				t.Fatal(err)
			}
			for pcr, v := range values {
				if _, err := other.Verify([]register.MR{register.PCR{Index: int(pcr), Digest: v, DigestAlg: h}}); err != nil {
					t.Errorf("%s, %v: PCR %d: %v", name, h, pcr, err)
				}
				if _, err := other.Verify([]register.MR{register.PCR{Index: int(pcr), Digest: make([]byte, len(v)), DigestAlg: h}}); err == nil {
					t.Fatal("go-eventlog accepts any value")
				}
			}
		}
	}
}

// TestTPM2Eventlog lets tpm2-tools read random logs, and compares the PCRs that
// it computes in each bank that it knows. Versions before 5.6 extend
// EV_NO_ACTION and do not know of localities: they are compared in PCR 0 only if
// neither is in the log.
func TestTPM2Eventlog(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tpm2_eventlog"); err != nil {
		t.Skip("tpm2_eventlog (package tpm2-tools) is not installed")
	}
	version, err := exec.Command("tpm2_eventlog", "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`version="5\.[0-5]"`).Match(version)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 10 {
		l := launch(t, fourBanks...)
		for range random.IntN(20) {
			data := make([]byte, random.IntN(300))
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			// A type that tpm2_eventlog does not take apart.
			l.Events = append(l.Events, Event{random.Uint32N(16), EVEFIAction, Hash(fourBanks, data), []byte(fmt.Sprintf("%x", data))})
		}
		if i%2 == 0 { // without an H-CRTM, started at locality 0
			l.Events = l.Events[2:]
		}
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, encode(t, l), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("tpm2_eventlog", file).CombinedOutput()
		if err != nil {
			t.Fatalf("tpm2_eventlog: %v\n%s", err, out)
		}
		comparePCRs(t, l, string(out), i%2 == 1 && old)
	}
}

// comparePCRs compares the list that ends tpm2_eventlog's output.
func comparePCRs(t *testing.T, l *Log, out string, without0 bool) {
	t.Helper()
	_, list, ok := strings.Cut(out, "\npcrs:\n")
	if !ok {
		t.Fatalf("no list of PCRs in %s", out)
	}
	names := map[string]tcg.TPMAlgID{"sha1": tcg.TPMAlgSHA1, "sha256": tcg.TPMAlgSHA256, "sha384": tcg.TPMAlgSHA384, "sha512": tcg.TPMAlgSHA512}
	line := regexp.MustCompile(`^ {4}(\d+) *: 0x([0-9a-f]+)$`)
	var values map[uint32][]byte
	compared := 0
	for s := range strings.SplitSeq(strings.TrimRight(list, "\n"), "\n") {
		if alg, ok := names[strings.Trim(s, " :")]; ok {
			var err error
			if values, err = l.Replay(alg); err != nil {
				t.Fatal(err)
			}
			continue
		}
		m := line.FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("line %q", s)
		}
		var pcr uint32
		fmt.Sscan(m[1], &pcr)
		if got := hex.EncodeToString(values[pcr]); got != m[2] && !(pcr == 0 && without0) {
			t.Errorf("PCR %d: %s, tpm2_eventlog computes %s", pcr, got, m[2])
		}
		compared++
	}
	want := 0
	for _, b := range l.Banks {
		v, err := l.Replay(b.Alg)
		if err != nil {
			t.Fatal(err)
		}
		want += len(v)
	}
	if compared != want {
		t.Errorf("compared %d PCRs of %d", compared, want)
	}
}

// FuzzParse holds that a log that Parse takes encodes to the same bytes, and that
// Replay of it does not panic.
func FuzzParse(f *testing.F) {
	f.Add(encode(f, launch(f, fourBanks...)))
	f.Add(append(encode(f, launch(f, tcg.TPMAlgSHA256)), make([]byte, 100)...))
	l := launch(f, tcg.TPMAlgSHA256)
	l.Banks, l.Events = append(l.Banks, Bank{0xFFFF, 5}), nil
	f.Add(encode(f, l))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, size, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrLog) || l != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		got, err := l.Encode(len(b))
		// The header's class, version and vendor information are not kept.
		head := len((&Log{Banks: l.Banks}).header())
		if err != nil || len(got) > size || !bytes.Equal(got[head:], b[size-len(got)+head:size]) {
			t.Fatalf("encoded %x, %v", got, err)
		}
		for _, k := range l.Banks {
			v, err := l.Replay(k.Alg)
			if err == nil && !tpmcrypto.HasHash(k.Alg) || err != nil && !errors.Is(err, ErrLog) {
				t.Fatalf("Replay: %v, %v", v, err)
			}
		}
	})
}

// TestLinux checks the data of the events that Linux and systemd have, and UTF-16
// outside the basic plane.
func TestLinux(t *testing.T) {
	t.Parallel()
	algs := []tcg.TPMAlgID{tcg.TPMAlgSHA256}
	const line = "a\x00\xe4\x00\x34\xd8\x1e\xdd\x00\x00" // aä𝄞
	for _, c := range []struct {
		got, want Event
	}{
		{LoadOptions(algs, "aä𝄞"), Event{9, EVEventTag, Hash(algs, []byte(line)), []byte("\xed\x22\x3b\x8f\x1a\x00\x00\x00LOADED_IMAGE::LoadOptions\x00")}},
		{CommandLine(algs, "aä𝄞"), Event{12, EVIPL, Hash(algs, []byte(line)), []byte(line)}},
		{CommandLine(algs, ""), Event{12, EVIPL, Hash(algs, []byte("\x00\x00")), []byte("\x00\x00")}},
		{Initrd(Zero(algs)), Event{9, EVEventTag, Zero(algs), []byte("\xec\x22\x3b\x8f\x0d\x00\x00\x00Linux initrd\x00")}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("got  %v\nwant %v", c.got, c.want)
		}
	}
}
