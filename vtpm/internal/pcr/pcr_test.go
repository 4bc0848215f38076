package pcr

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/vtpm/tcg"
)

func allocation(algs ...tcg.TPMAlgID) (a []tcg.TPMSPCRSelection) {
	for _, alg := range algs {
		a = append(a, tcg.TPMSPCRSelection{Hash: alg, TPMSPCRSelect: tcg.TPMSPCRSelect{Size: 3, PCRSelect: [tcg.PCRSelectMax]byte{0xFF, 0xFF, 0xFF}}})
	}
	return a
}

func encoded(s *State) string {
	var w tcg.Writer
	s.Encode(&w)
	return string(w.B)
}

// TestUndo: whatever changes the PCRs, Undo takes all of it back, for a copy of the
// state that was taken at Mark.
func TestUndo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		counter := uint32(0)
		s := New(&counter)
		s.Allocate(allocation(tcg.TPMAlgSHA1, tcg.TPMAlgSHA256))
		s.Startup(nil, false, false, 3)
		for range 20 {
			s.Mark()
			before, copied := encoded(&s), s
			for range r.IntN(10) {
				switch n := r.IntN(Count); r.IntN(6) {
				case 0:
					s.Extend(tcg.TPMAlgSHA256, n, []byte{byte(n)})
				case 1:
					s.Set(n, 0xFF)
				case 2:
					s.SetLast(n, 4)
				case 3:
					s.Startup(s.Save(), r.IntN(2) == 0, r.IntN(2) == 0, 0)
				case 4:
					s.Allocate(allocation(tcg.TPMAlgSHA256, tcg.TPMAlgSHA384))
				case 5:
					s.Extend(tcg.TPMAlgSHA512, n, nil) // no such bank
				}
			}
			if r.IntN(2) == 0 {
				s.Undo()
				s = copied
				if encoded(&s) != before {
					t.Fatalf("seed %d: Undo left a change", seed)
				}
			}
		}
	}
}

func TestExtendCounts(t *testing.T) {
	t.Parallel()
	counter := uint32(0)
	s := New(&counter)
	s.Allocate(allocation(tcg.TPMAlgSHA1, tcg.TPMAlgSHA256))
	for n := range Count {
		was := counter
		s.Extend(tcg.TPMAlgSHA1, n, []byte{1})
		s.Extend(tcg.TPMAlgSHA256, n, []byte{1})
		want := uint32(0)
		if Counted(n) {
			want = 2
		}
		if counter-was != want {
			t.Errorf("PCR %d: counted %d times, want %d", n, counter-was, want)
		}
		if bytes.Equal(s.Bank(tcg.TPMAlgSHA256).Value(n), make([]byte, 32)) {
			t.Errorf("PCR %d was not extended", n)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	counter := uint32(0)
	s := New(&counter)
	s.Allocate(allocation(tcg.TPMAlgSHA256))
	s.Startup(nil, false, false, 0)
	s.Extend(tcg.TPMAlgSHA256, 7, []byte("event"))
	again := New(&counter)
	r := tcg.NewReader([]byte(encoded(&s)), nil)
	if err := again.Decode(&r); err != nil || r.Len() != 0 || encoded(&again) != encoded(&s) {
		t.Errorf("decoded: %v, %d bytes left", err, r.Len())
	}
	r = tcg.NewReader([]byte{0, 1, 0, 0x10, 0, 0, 0, 1}, nil)
	if err := again.Decode(&r); err == nil {
		t.Error("a bank of no hash is taken")
	}
}

func ExampleState() {
	var updates uint32
	pcrs := New(&updates)
	pcrs.Allocate(allocation(tcg.TPMAlgSHA256))
	pcrs.Startup(nil, false, false, 0)
	pcrs.Extend(tcg.TPMAlgSHA256, 8, make([]byte, 32))
	fmt.Printf("%x\n", pcrs.Bank(tcg.TPMAlgSHA256).Value(8)[:4])
	// Output: f5a5fd42
}
