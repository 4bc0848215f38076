package verify

import "testing"

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	e := making{w: w, of: w.va}.make()
	e.CRLs = w.crls(nil, nil, days(2))
	raw, p := marshal(b, e), w.strict()
	b.ReportMetric(float64(len(raw)), "bytes")
	for b.Loop() {
		if _, err := Verify(raw, w.question(), p); err != nil {
			b.Fatal(err)
		}
	}
}
