package proto

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable reports whether s is UTF-8 and has only characters that a terminal shows:
// letters, marks, digits, punctuation, symbols and the blank (unicode.IsPrint). What a
// tenant names is printed on the console and on the administrator's terminal.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Visible returns s with the escape sequence of JSON (RFC 8259, section 7) in place of each
// character that is not printable, and \x and two digits in place of a byte that is not
// UTF-8. A printable s is returned unchanged.
func Visible(s string) string {
	if Printable(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch _, size := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
