package tpmcrypto

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmcrypto/weierstrass"
)

// otherCurves are the curves that the standard library lacks. The doc comment
// of package weierstrass tells why none comes from a library.
var otherCurves = map[tcg.TPMECCCurve]hexCurve{
	// FIPS 186-4, D.1.2.1.
	tcg.TPMECCNistP192: {
		p:  "fffffffffffffffffffffffffffffffeffffffffffffffff",
		a:  "fffffffffffffffffffffffffffffffefffffffffffffffc",
		b:  "64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
		gx: "188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012",
		gy: "07192b95ffc8da78631011ed6b24cdd573f977a11e794811",
		n:  "ffffffffffffffffffffffff99def836146bc9b1b4d22831",
	},
	// ISO/IEC 15946-5 with the parameters of the TCG Algorithm Registry,
	// TPM_ECC_BN_P256: the curve of u = -6882f5c030b0a801 (hexadecimal) in the
	// formulas of Barreto and Naehrig, which the tests check.
	tcg.TPMECCBNP256: {
		p:  "fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013",
		a:  "0",
		b:  "3",
		gx: "1",
		gy: "2",
		n:  "fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d",
	},
	// TCG Algorithm Registry, TPM_ECC_BN_P638.
	tcg.TPMECCBNP638: {
		p: "23fffffdc000000d7fffffb8000001d3fffff942d000165e3fff94870000d52f" +
			"fffdd0e00008de55c00086520021e55bfffff51ffff4eb800000004c80015acd" +
			"ffffffffffffece00000000000000067",
		a: "0",
		b: "101",
		gx: "23fffffdc000000d7fffffb8000001d3fffff942d000165e3fff94870000d52f" +
			"fffdd0e00008de55c00086520021e55bfffff51ffff4eb800000004c80015acd" +
			"ffffffffffffece00000000000000066",
		gy: "10",
		n: "23fffffdc000000d7fffffb8000001d3fffff942d000165e3fff94870000d52f" +
			"fffdd0e00008de55600086550021e555fffff54ffff4eac000000049800154d9" +
			"ffffffffffffeda00000000000000061",
	},
	// GB/T 32918.5-2017.
	tcg.TPMECCSM2P256: {
		p:  "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff",
		a:  "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc",
		b:  "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93",
		gx: "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7",
		gy: "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0",
		n:  "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123",
	},
}

// otherGroup computes with package weierstrass.
type otherGroup struct{ c *weierstrass.Curve }

func (g otherGroup) on(x, y []byte) bool { return g.c.OnCurve(x, y) }

func (g otherGroup) mul(p Point, k []byte) Point {
	x, y := g.c.Mul(p.X, p.Y, k)
	return Point{x, y}
}

func (g otherGroup) baseMul(k []byte) Point {
	x, y := g.c.BaseMul(k)
	return Point{x, y}
}

func (g otherGroup) add(p, q Point) Point {
	x, y := g.c.Add(p.X, p.Y, q.X, q.Y)
	return Point{x, y}
}
