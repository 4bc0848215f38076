package house

import (
	"regexp"
	"strings"
	"testing"

	"stubtpm/tools/house/count"
)

// plain lists phrases that have to be read twice, spellings that are mixed and
// words for which the field has another, and what is written instead. A blank
// stands for any white space, so that a phrase is found over a line's end.
var plain = []struct{ pattern, instead string }{
	{`(?i)\bsays whether\b|\btells whether\b|\bsays if\b`, `"reports whether"`},
	{`(?i)\b(is|are) no use (from|to|by)\b`, `"is not safe for concurrent use", or what cannot be done`},
	{`(?i)\banew\b`, `"again" or "new"`},
	{`(?i)\bfor ever\b`, `"permanently" or "forever"`},
	{`(?i)\bcan not\b`, `"cannot"`},
	{`(?i)\b(who|whoever) sits\b`, `"an attacker on"`},
	{`(?i)[,;:.] of which\b|\bof which [a-z]+ [a-z]+ (is|are|does|do|was|were|comes|says)\b`, `a clause with "whose" or a sentence of its own`},
	{`(?i)\bthere is none\b`, `what is missing`},
	{`(?i)\b(mode|one|value|kind) that is none\b`, `"invalid"`},
	{`(?i)\b(by|to|for|from|of) who\b`, `"anyone who"`},
	{`(?i)\bneeds not\b`, `"need not"`},
	{`(?i)\bhas to know it\b`, `what follows from it`},
	{`(?i)\bmend(s|ed|ing)?\b`, `"repair", "fix"`},
	{`\b[Ee]nrol(s|ment|ments)?\b`, `"enroll", "enrollment"`},
	// Not Xen's states Initialising and Initialised.
	{`\b([Uu]n|[Rr]e)?initialis(e|es|ed|ing|ation)\b|\bInitialis(e|es|ation)\b`, `"initialize"`},
	{`(?i)\b(un|re)?authoris(e|es|ed|ing|ation|ations)\b`, `"authorize"`},
	{`(?i)\brecognis(e|es|ed|ing)\b|\bserialis(e|es|ed|ing|ation)\b|\bnormalis(e|es|ed|ing|ation)\b`, `the spelling with z`},
	{`(?i)\bdomain 0\b`, `"dom0"`},
	{`(?i)\b(front|back) ends?\b`, `"frontend", "backend"`},
	{`(?i)\bforgiven (failure|failed|tr)`, `TCG's "self-healed"`},
	{`(?i)\bpresent allocation\b`, `"current allocation"`},
}

// Phrases that the list must find, and some that it must leave alone.
var (
	refused = []string{
		"known says whether it is", "It is no use from several goroutines", "made\nanew", "kept for ever", "it can not be", "who sits on the bus",
		"a write, of which the answer", "an Enrolment", "enrols a vTPM", "authorised", "Initialise", "domain 0", "the back\n\tend", "by who puts it back",
	}
	accepted = []string{"reports whether", "enroll enrollment", "one of which the caller", "cannot", "domain 01", "amend", "initialized", "dom0", "backend", "those who"}
)

func phrases() []count.Phrase {
	var list []count.Phrase
	for _, p := range plain {
		list = append(list, count.Phrase{Pattern: regexp.MustCompile(strings.ReplaceAll(p.pattern, " ", `\s+`)), Instead: p.instead})
	}
	return list
}

// TestWords keeps comments, messages and documents in plain English.
func TestWords(t *testing.T) {
	t.Parallel()
	list := phrases()
	var found []count.Found
	for _, f := range goFiles(t) {
		if f.Name != "tools/house/words_test.go" {
			found = append(found, f.Phrases(list)...)
		}
	}
	err := count.Walk(root, ".md", func(name string, text []byte) error {
		found = append(found, count.TextPhrases(list, name, text)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestWordsRefuse makes sure that the list finds what it is for, and no more.
func TestWordsRefuse(t *testing.T) {
	t.Parallel()
	for _, text := range refused {
		if len(count.TextPhrases(phrases(), "", []byte(text))) == 0 {
			t.Errorf("%q is accepted", text)
		}
	}
	for _, text := range accepted {
		for _, f := range count.TextPhrases(phrases(), "", []byte(text)) {
			t.Errorf("%q is refused: %v", text, f)
		}
	}
}

func inFolder(name string, folders []string) string {
	for _, f := range folders {
		if strings.HasPrefix(name, f) {
			return f
		}
	}
	return ""
}
