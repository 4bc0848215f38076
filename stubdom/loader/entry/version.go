package entry

import (
	"cmp"
	"strings"
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// separators in the order in which they are looked at, after '~'. Of two strings, the one
// that begins with a separator is older.
const separators = "-^."

// CompareVersions compares two versions as UAPI.10, "Version Format Specification", has
// it: -1 if a is older than b, 0 if they are the same, 1 if a is newer.
func CompareVersions(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, ignored), strings.TrimLeftFunc(b, ignored)
		if c := separator(&a, &b, '~'); c != 0 {
			return c
		}
		if a == "" || b == "" {
			return cmp.Compare(min(len(a), 1), min(len(b), 1))
		}
		for i := range len(separators) {
			if c := separator(&a, &b, separators[i]); c != 0 {
				return c
			}
		}
		if a == "" || b == "" {
			continue
		}
		var c int
		if isDigit(a[0]) || isDigit(b[0]) {
			c = number(&a, &b)
		} else {
			c = word(&a, &b)
		}
		if c != 0 {
			return c
		}
	}
}

// ignored reports whether a character takes no part in a comparison.
func ignored(r rune) bool {
	return r >= 0x80 || !isDigit(byte(r)) && !isAlpha(byte(r)) && !strings.ContainsRune("~"+separators, r)
}

// separator removes a separator from both strings, or says which of them has it.
func separator(a, b *string, sep byte) int {
	hasA, hasB := *a != "" && (*a)[0] == sep, *b != "" && (*b)[0] == sep
	switch {
	case hasA && hasB:
		*a, *b = (*a)[1:], (*b)[1:]
	case hasA:
		return -1
	case hasB:
		return 1
	}
	return 0
}

// prefix removes the characters in front for which is holds, and returns them.
func prefix(s *string, is func(byte) bool) string {
	n := 0
	for n < len(*s) && is((*s)[n]) {
		n++
	}
	p := (*s)[:n]
	*s = (*s)[n:]
	return p
}

// number compares and removes the numbers in front. No number is older than any.
func number(a, b *string) int {
	x, y := prefix(a, isDigit), prefix(b, isDigit)
	if x == "" || y == "" {
		return cmp.Compare(min(len(x), 1), min(len(y), 1))
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
}

// word compares and removes the letters in front. Capitals are older.
func word(a, b *string) int {
	x, y := prefix(a, isAlpha), prefix(b, isAlpha)
	return strings.Compare(x, y)
}
