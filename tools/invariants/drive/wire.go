package drive

import (
	"encoding/binary"

	"stubtpm/vtpm/tcg"
)

// A wire is a command, parsed as far as the checks need it. Its code is 0 if the
// command does not parse.
type wire struct {
	code    tcg.TPMCC
	handles []uint32
	auths   []wireAuth
	params  []byte // may be encrypted: the content of the first TPM2B
}

type wireAuth struct {
	handle uint32
	attrs  byte
	value  []byte
	at     int // of value in the command
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
func be16(b []byte) int    { return int(binary.BigEndian.Uint16(b)) }

func parse(c []byte) (w wire) {
	if len(c) < 10 || int(be32(c[2:])) != len(c) {
		return wire{}
	}
	code := tcg.TPMCC(be32(c[6:]))
	spec := tcg.CommandByCode(code)
	if spec == nil {
		return wire{}
	}
	at := 10
	for range spec.Handles {
		if len(c) < at+4 {
			return wire{}
		}
		w.handles = append(w.handles, be32(c[at:]))
		at += 4
	}
	if be16(c) == int(tcg.TPMSTSessions) {
		if len(c) < at+4 || int64(be32(c[at:])) > int64(len(c)-at-4) {
			return wire{}
		}
		end := at + 4 + int(be32(c[at:]))
		at += 4
		for at < end {
			a, next := parseAuth(c[:end], at)
			if next == 0 {
				return wire{}
			}
			w.auths = append(w.auths, a)
			at = next
		}
	}
	w.code, w.params = code, c[at:]
	return w
}

func parseAuth(c []byte, at int) (a wireAuth, next int) {
	if len(c) < at+6 {
		return a, 0
	}
	a.handle = be32(c[at:])
	at += 6 + be16(c[at+4:])
	if len(c) < at+3 {
		return a, 0
	}
	a.attrs = c[at]
	n := be16(c[at+1:])
	at += 3
	if len(c) < at+n {
		return a, 0
	}
	a.value, a.at = c[at:at+n], at
	return a, at + n
}

// authorizes returns the entity of the i-th authorization, if it has one.
func (w *wire) authorizes(i int) (h uint32, ok bool) {
	spec := tcg.CommandByCode(w.code)
	if spec == nil || i >= spec.AuthCount() || i >= len(w.handles) {
		return 0, false
	}
	return w.handles[i], true
}

// take2B splits a TPM2B off b.
func take2B(b []byte) (v, rest []byte) {
	if len(b) < 2 || be16(b) > len(b)-2 {
		return nil, nil
	}
	n := be16(b)
	return b[2 : 2+n], b[2+n:]
}

// respond parses a response into its handle, if the command returns one, and its
// parameters.
func respond(code tcg.TPMCC, r []byte) (handle uint32, params []byte) {
	spec := tcg.CommandByCode(code)
	if spec == nil || rcOf(r) != 0 {
		return 0, nil
	}
	b := r[10:]
	if spec.ResponseHandle != nil && len(b) >= 4 {
		handle, b = be32(b), b[4:]
	}
	if be16(r) == int(tcg.TPMSTSessions) && len(b) >= 4 && int(be32(b)) <= len(b)-4 {
		b = b[4 : 4+be32(b)]
	}
	return handle, b
}

func rcOf(r []byte) tcg.TPMRC {
	if len(r) < 10 {
		return tcg.TPMRCFailure
	}
	return tcg.TPMRC(be32(r[6:]))
}

// of reports whether a response code is base, for any parameter, handle or session.
func of(rc, base tcg.TPMRC) bool {
	if rc&0x80 != 0 && base&0x80 != 0 {
		return rc&0x0BF == base&0x0BF
	}
	return rc == base
}

// command builds a command without sessions.
func command(code tcg.TPMCC, body ...[]byte) []byte {
	c := make([]byte, 10, 64)
	binary.BigEndian.PutUint16(c, uint16(tcg.TPMSTNoSessions))
	for _, b := range body {
		c = append(c, b...)
	}
	binary.BigEndian.PutUint32(c[2:], uint32(len(c)))
	binary.BigEndian.PutUint32(c[6:], uint32(code))
	return c
}

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
