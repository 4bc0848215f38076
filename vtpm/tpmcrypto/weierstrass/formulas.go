package weierstrass

// The formulas keep the names and the order of operations of the paper, so that
// they can be compared line by line.

// add sets r = p + q; r may be one of them.
func (c *Curve) add(r, p, q *point) {
	if c.aZero {
		c.add0(r, p, q)
		return
	}
	f := c.f
	var t0, t1, t2, t3, t4, t5, x3, y3, z3 element
	// Algorithm 1.
	f.mul(&t0, &p.x, &q.x)
	f.mul(&t1, &p.y, &q.y)
	f.mul(&t2, &p.z, &q.z)
	f.add(&t3, &p.x, &p.y)
	f.add(&t4, &q.x, &q.y)
	f.mul(&t3, &t3, &t4)
	f.add(&t4, &t0, &t1)
	f.sub(&t3, &t3, &t4)
	f.add(&t4, &p.x, &p.z)
	f.add(&t5, &q.x, &q.z)
	f.mul(&t4, &t4, &t5)
	f.add(&t5, &t0, &t2)
	f.sub(&t4, &t4, &t5)
	f.add(&t5, &p.y, &p.z)
	f.add(&x3, &q.y, &q.z)
	f.mul(&t5, &t5, &x3)
	f.add(&x3, &t1, &t2)
	f.sub(&t5, &t5, &x3)
	f.mul(&z3, &c.a, &t4)
	f.mul(&x3, &c.b3, &t2)
	f.add(&z3, &x3, &z3)
	f.sub(&x3, &t1, &z3)
	f.add(&z3, &t1, &z3)
	f.mul(&y3, &x3, &z3)
	f.add(&t1, &t0, &t0)
	f.add(&t1, &t1, &t0)
	f.mul(&t2, &c.a, &t2)
	f.mul(&t4, &c.b3, &t4)
	f.add(&t1, &t1, &t2)
	f.sub(&t2, &t0, &t2)
	f.mul(&t2, &c.a, &t2)
	f.add(&t4, &t4, &t2)
	f.mul(&t0, &t1, &t4)
	f.add(&y3, &y3, &t0)
	f.mul(&t0, &t5, &t4)
	f.mul(&x3, &t3, &x3)
	f.sub(&x3, &x3, &t0)
	f.mul(&t0, &t3, &t1)
	f.mul(&z3, &t5, &z3)
	f.add(&z3, &z3, &t0)
	r.x, r.y, r.z = x3, y3, z3
}

// double sets r = p + p; r may be p.
func (c *Curve) double(r, p *point) {
	if c.aZero {
		c.double0(r, p)
		return
	}
	f := c.f
	var t0, t1, t2, t3, x3, y3, z3 element
	// Algorithm 3.
	f.mul(&t0, &p.x, &p.x)
	f.mul(&t1, &p.y, &p.y)
	f.mul(&t2, &p.z, &p.z)
	f.mul(&t3, &p.x, &p.y)
	f.add(&t3, &t3, &t3)
	f.mul(&z3, &p.x, &p.z)
	f.add(&z3, &z3, &z3)
	f.mul(&x3, &c.a, &z3)
	f.mul(&y3, &c.b3, &t2)
	f.add(&y3, &x3, &y3)
	f.sub(&x3, &t1, &y3)
	f.add(&y3, &t1, &y3)
	f.mul(&y3, &x3, &y3)
	f.mul(&x3, &t3, &x3)
	f.mul(&z3, &c.b3, &z3)
	f.mul(&t2, &c.a, &t2)
	f.sub(&t3, &t0, &t2)
	f.mul(&t3, &c.a, &t3)
	f.add(&t3, &t3, &z3)
	f.add(&z3, &t0, &t0)
	f.add(&t0, &z3, &t0)
	f.add(&t0, &t0, &t2)
	f.mul(&t0, &t0, &t3)
	f.add(&y3, &y3, &t0)
	f.mul(&t2, &p.y, &p.z)
	f.add(&t2, &t2, &t2)
	f.mul(&t0, &t2, &t3)
	f.sub(&x3, &x3, &t0)
	f.mul(&z3, &t2, &t1)
	f.add(&z3, &z3, &z3)
	f.add(&z3, &z3, &z3)
	r.x, r.y, r.z = x3, y3, z3
}

// add0 is add for a = 0.
func (c *Curve) add0(r, p, q *point) {
	f := c.f
	var t0, t1, t2, t3, t4, x3, y3, z3 element
	// Algorithm 7.
	f.mul(&t0, &p.x, &q.x)
	f.mul(&t1, &p.y, &q.y)
	f.mul(&t2, &p.z, &q.z)
	f.add(&t3, &p.x, &p.y)
	f.add(&t4, &q.x, &q.y)
	f.mul(&t3, &t3, &t4)
	f.add(&t4, &t0, &t1)
	f.sub(&t3, &t3, &t4)
	f.add(&t4, &p.y, &p.z)
	f.add(&x3, &q.y, &q.z)
	f.mul(&t4, &t4, &x3)
	f.add(&x3, &t1, &t2)
	f.sub(&t4, &t4, &x3)
	f.add(&x3, &p.x, &p.z)
	f.add(&y3, &q.x, &q.z)
	f.mul(&x3, &x3, &y3)
	f.add(&y3, &t0, &t2)
	f.sub(&y3, &x3, &y3)
	f.add(&x3, &t0, &t0)
	f.add(&t0, &x3, &t0)
	f.mul(&t2, &c.b3, &t2)
	f.add(&z3, &t1, &t2)
	f.sub(&t1, &t1, &t2)
	f.mul(&y3, &c.b3, &y3)
	f.mul(&x3, &t4, &y3)
	f.mul(&t2, &t3, &t1)
	f.sub(&x3, &t2, &x3)
	f.mul(&y3, &y3, &t0)
	f.mul(&t1, &t1, &z3)
	f.add(&y3, &t1, &y3)
	f.mul(&t0, &t0, &t3)
	f.mul(&z3, &z3, &t4)
	f.add(&z3, &z3, &t0)
	r.x, r.y, r.z = x3, y3, z3
}

// double0 is double for a = 0.
func (c *Curve) double0(r, p *point) {
	f := c.f
	var t0, t1, t2, x3, y3, z3 element
	// Algorithm 9.
	f.mul(&t0, &p.y, &p.y)
	f.add(&z3, &t0, &t0)
	f.add(&z3, &z3, &z3)
	f.add(&z3, &z3, &z3)
	f.mul(&t1, &p.y, &p.z)
	f.mul(&t2, &p.z, &p.z)
	f.mul(&t2, &c.b3, &t2)
	f.mul(&x3, &t2, &z3)
	f.add(&y3, &t0, &t2)
	f.mul(&z3, &t1, &z3)
	f.add(&t1, &t2, &t2)
	f.add(&t2, &t1, &t2)
	f.sub(&t0, &t0, &t2)
	f.mul(&y3, &t0, &y3)
	f.add(&y3, &x3, &y3)
	f.mul(&t1, &p.x, &p.y)
	f.mul(&x3, &t0, &t1)
	f.add(&x3, &x3, &x3)
	r.x, r.y, r.z = x3, y3, z3
}
