package mldsa

// power2Round is Algorithm 35: a = a1*2^d + a0, a0 modulo q.
func power2Round(a uint32) (a1, a0 uint32) {
	a1 = (a + 1<<(d-1) - 1) >> d
	return a1, sub(a, a1<<d)
}

// decompose is Algorithm 36: a = a1*2*gamma2 + a0, a0 modulo q. The division
// is by multiplication, exact for all a below q, which a test goes through.
func (p *Params) decompose(a uint32) (a1, a0 uint32) {
	a1 = (a + 127) >> 7
	if p.gamma2 == (q-1)/32 {
		a1 = (a1*1025 + 1<<21) >> 22
		a1 &= 15
	} else {
		a1 = (a1*11275 + 1<<23) >> 24
		a1 &^= -((43 - a1) >> 31) // 44 is 0
	}
	return a1, sub(a, a1*2*p.gamma2)
}

// useHint is Algorithm 40. It is used with public values only.
func (p *Params) useHint(h bool, r uint32) uint32 {
	m := (q - 1) / (2 * p.gamma2)
	r1, r0 := p.decompose(r)
	switch {
	case !h:
		return r1
	case r0 != 0 && r0 <= (q-1)/2:
		return (r1 + 1) % m
	}
	return (r1 + m - 1) % m
}
