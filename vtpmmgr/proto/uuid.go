package proto

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A UUID names a vTPM.
type UUID [16]byte

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// ParseUUID parses 32 hexadecimal digits, with or without the usual dashes.
func ParseUUID(s string) (u UUID, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, fmt.Errorf("vtpmmgr: %q is not a UUID", s)
	}
	return UUID(b), nil
}
