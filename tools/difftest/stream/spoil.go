package stream

import (
	"fmt"

	"stubtpm/vtpm/tcg"
)

// spoil makes a command invalid, in the same way for both sides. It may leave the
// command as it is.
func (w *world) spoil(c *command) {
	switch w.n(13) {
	case 0: // another handle
		if len(c.handles) > 0 {
			i := w.n(len(c.handles))
			e := w.any()
			for _, a := range c.auths {
				if a.entity == c.handles[i] && a.entity != nil && w.chance(0.7) {
					a.entity = e
					if a.session == nil {
						a.password = e.auth
					}
				}
			}
			c.handles[i] = e
			c.spoiled = fmt.Sprintf("handle %d", i+1)
		}
	case 1: // a wrong secret, for which the responses must still be equal
		if len(c.auths) > 0 {
			a := c.auths[0]
			if a.session == nil {
				a.password = append(a.password[:len(a.password):len(a.password)], 'x')
				c.spoiled = "wrong password"
				return
			}
			a.raw = w.bytes(32)
			c.spoiled = "wrong HMAC"
			return
		}
	case 2: // no session
		if len(c.auths) > 0 {
			c.auths = c.auths[:len(c.auths)-1]
			c.spoiled = "one session less"
		}
	case 3: // one more
		if len(c.auths) < 4 {
			c.auths = append(c.auths, &auth{handle: uint32(tcg.TPMRSPW)})
			c.spoiled = "one more password"
		}
	case 4: // attributes of a session
		if len(c.auths) > 0 {
			a := pick(w, c.auths)
			a.attrs ^= 1 << w.n(8)
			c.spoiled = fmt.Sprintf("session attributes %#x", a.attrs)
		}
	case 5: // another session
		if s := pick(w, w.sessions); s != nil && len(c.auths) > 0 {
			a := pick(w, c.auths)
			s.nonce = w.bytes(16)
			a.session, a.attrs = s, attrContinue
			c.spoiled = "another session"
		}
	case 6, 7, 8: // a byte of a parameter
		if p := w.commonParam(c); p != nil {
			i := w.n(len(p[0]))
			v := p[0][i] ^ byte(1<<w.n(8))
			if w.chance(0.3) {
				v = byte(w.n(256))
			}
			b := append([]byte(nil), p[0]...)
			b[i] = v
			*p = same(b)
			c.spoiled = fmt.Sprintf("byte %d", i)
		}
	case 9: // fewer
		if n := len(c.params); n > 0 {
			p := &c.params[n-1]
			k := 1 + w.n(4)
			for s := range p {
				p[s] = p[s][:max(0, len(p[s])-k)]
			}
			c.spoiled = fmt.Sprintf("%d bytes less", k)
		}
	case 10: // more
		c.params = append(c.params, lit(w.bytes(1+w.n(4))))
		c.spoiled = "more bytes"
	case 11:
		switch w.n(3) {
		case 0:
			c.size = w.n(5) - 2
			c.spoiled = "commandSize"
		case 1:
			c.tag = pick(w, []uint16{0x8001, 0x8002})
			c.spoiled = "tag"
		case 2:
			if w.chance(0.2) {
				c.tag = 0x8003
				c.spoiled = "bad tag"
			}
		}
	case 12: // a secret or blob cut out
		if len(c.params) > 0 {
			i := w.n(len(c.params))
			c.params[i] = lit(b2())
			c.spoiled = fmt.Sprintf("parameter %d empty", i+1)
		}
	}
	if c.spoiled != "" {
		c.loose = true
	}
}

// commonParam returns a random parameter that is the same for both sides, or nil.
func (w *world) commonParam(c *command) *bytesPair {
	var l []*bytesPair
	for i := range c.params {
		if p := &c.params[i]; len(p[0]) > 0 && string(p[0]) == string(p[1]) {
			l = append(l, p)
		}
	}
	return pick(w, l)
}
