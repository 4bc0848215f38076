package vtpmmgr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block/blocktest"
	"stubtpm/vtpmmgr/evidence"
	"stubtpm/vtpmmgr/proto"
)

// A slowSigner is a TPM that takes a time for each signature. It counts its quotes.
type slowSigner struct {
	transport.TPM
	takes  time.Duration
	quotes atomic.Int32
	fails  atomic.Bool
}

func (s *slowSigner) Send(b []byte) ([]byte, error) {
	switch binary.BigEndian.Uint32(b[6:]) {
	case uint32(tpm2.TPMCCQuote):
		s.quotes.Add(1)
		if s.fails.Load() {
			return nil, errors.New("the bus does not answer")
		}
		fallthrough
	case uint32(tpm2.TPMCCSign):
		time.Sleep(s.takes)
	}
	return s.TPM.Send(b)
}

// An asking is a manager with vTPMs that are certified.
type asking struct {
	m     *Manager
	tpm   *slowSigner
	vtpms []*proto.Client
}

func newAsking(t testing.TB, n int) *asking {
	t.Helper()
	a := &asking{tpm: &slowSigner{TPM: hardwareTPM(t)}}
	m, err := Initialize(Config{TPM: a.tpm, Disk: blocktest.NewMem(4 << 20), Log: func(string, ...any) {}}, testSetup())
	if err != nil {
		t.Fatal(err)
	}
	a.m = m
	admin := as(t, m, testAdmin)
	if _, err := admin.IdentityRequest([32]byte{7}, 3); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		u := UUID{0xBB, byte(i)}
		if err := enroll(admin, u); err != nil {
			t.Fatal(err)
		}
		if err := admin.Measured(uint16(100+i), [32]byte{9}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, m, Peer{Domain: uint16(100 + i), UUID: u})
		if _, err := c.Load(); err != nil {
			t.Fatal(err)
		}
		if err := commit(c, 1, [32]byte{1}, [32]byte{2}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Certify([][]byte{primary(t, hardwareTPM(t), tpm2.ECCEKTemplate)}); err != nil {
			t.Fatal(err)
		}
		a.vtpms = append(a.vtpms, c)
	}
	return a
}

func askFor(t testing.TB, nonce byte) []byte {
	t.Helper()
	b, err := (&evidence.Ask{Nonce: bytes.Repeat([]byte{nonce}, 32), AK: append([]byte{0, 0x0B}, make([]byte, 32)...)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check checks an answer as far as that needs no signature, and returns the quote's
// TPMS_ATTEST.
func (a *asking) check(t testing.TB, answer []byte, i int) []byte {
	t.Helper()
	e, err := evidence.Parse(answer)
	if err != nil {
		t.Fatal(err)
	}
	st, err := evidence.ParseStatement(e.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if st.UUID != (UUID{0xBB, byte(i)}) || st.Manager != a.m.id || st.Nonce[0] != byte(i) || st.ManagerImage != [32]byte{7} ||
		st.Image != [32]byte{9} || st.Measurer != evidence.Administrator || len(st.EKs) != 1 {
		t.Errorf("vTPM %d: %+v", i, st)
	}
	p, err := evidence.ParseProof(e.Proof)
	if err != nil {
		t.Fatal(err)
	}
	root, err := p.Root(evidence.Leaf(e.Statement))
	if err != nil {
		t.Fatal(err)
	}
	q, err := evidence.ParseQuote(e.Hardware)
	if err != nil {
		t.Fatal(err)
	}
	att, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Attest)
	if err != nil {
		t.Fatal(err)
	}
	if want := evidence.HardwareNonce(a.m.id, p.Size, root); !bytes.Equal(att.ExtraData.Buffer, want[:]) {
		t.Errorf("vTPM %d: the quote is over another tree", i)
	}
	return q.Attest
}

// ask has the first n vTPMs ask at once, and returns for how long the last one waited.
func (a *asking) ask(t testing.TB, n int) time.Duration {
	t.Helper()
	a.tpm.quotes.Store(0)
	a.m.mu.Lock()
	for _, s := range a.m.shares {
		s.tpm = bucket{}
	}
	a.m.mu.Unlock()
	answers, errs := make([][]byte, n), make([]error, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range n {
		question := askFor(t, byte(i))
		wg.Go(func() { answers[i], errs[i] = a.vtpms[i].Attest(question) })
	}
	wg.Wait()
	took := time.Since(start)
	for i := range n {
		if errs[i] != nil {
			t.Fatalf("vTPM %d: %v", i, errs[i])
		}
		a.check(t, answers[i], i)
	}
	return took
}

// TestAttest: those who ask at once share quotes of the hardware TPM, and each gets the
// statement about itself in answer to its own question.
func TestAttest(t *testing.T) {
	t.Parallel()
	most := 64
	if testing.Short() {
		most = 8
	}
	a := newAsking(t, most)
	a.tpm.takes = 200 * time.Millisecond
	for _, n := range []int{1, 8, most} {
		took := a.ask(t, n)
		quotes := a.tpm.quotes.Load()
		t.Logf("%d ask a TPM of 200 ms a signature: %d quotes, %v", n, quotes, took.Round(time.Millisecond))
		if quotes > 2 {
			t.Errorf("%d ask: %d quotes", n, quotes)
		}
	}
}

// TestAttestRefuses: who is not a certified vTPM that has loaded gets no statement, and a
// TPM that fails is an error that passes.
func TestAttestRefuses(t *testing.T) {
	t.Parallel()
	a := newAsking(t, 1)
	admin, c := as(t, a.m, testAdmin), a.vtpms[0]
	for name, question := range map[string][]byte{"empty": nil, "cut": askFor(t, 0)[:20], "more": append(askFor(t, 0), 0), "another version": append([]byte{9}, askFor(t, 0)[1:]...)} {
		if _, err := c.Attest(question); !errors.Is(err, proto.BadMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.tpm.fails.Store(true)
	if _, err := c.Attest(askFor(t, 0)); !errors.Is(err, proto.Failed) {
		t.Errorf("a TPM that does not answer: %v", err)
	}
	a.tpm.fails.Store(false)
	if b, err := c.Attest(askFor(t, 0)); err != nil {
		t.Errorf("it answers again: %v", err)
	} else {
		a.check(t, b, 0)
	}
	for i := 0; ; i++ {
		a.tpm.takes = 300 * time.Millisecond
		if _, err := c.Attest(askFor(t, 0)); errors.Is(err, proto.Rate) {
			break
		}
		if i > 20 {
			t.Fatal("there is no limit to one vTPM's share")
		}
	}
	a.m.sharesOf(UUID{0xBB, 0}).tpm = bucket{}
	other := connect(t, a.m, Peer{Domain: 77, UUID: mustEnroll(t, admin, UUID{1})})
	if _, err := other.Attest(askFor(t, 0)); !errors.Is(err, proto.NotConnected) {
		t.Errorf("before LOAD: %v", err)
	}
	if _, err := other.Load(); err != nil {
		t.Fatal(err)
	}
	if err := commit(other, 1, [32]byte{1}, [32]byte{2}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Attest(askFor(t, 0)); !errors.Is(err, proto.NoIdentity) {
		t.Errorf("without certificates: %v", err)
	}
	for _, step := range []struct {
		order func(UUID) error
		want  error
	}{{admin.Suspend, proto.Suspended}, {admin.Resume, nil}, {admin.Destroy, proto.NotEnrolled}} {
		if err := step.order(UUID{0xBB, 0}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attest(askFor(t, 0)); !errors.Is(err, step.want) {
			t.Errorf("%v, want %v", err, step.want)
		}
	}
}

func mustEnroll(t testing.TB, admin *proto.Client, u UUID) UUID {
	t.Helper()
	if err := enroll(admin, u); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestStartMeasured: a statement says that the guest's PCRs are those of its start only
// while that guest has the TPM, and the vTPM did not start again.
func TestStartMeasured(t *testing.T) {
	t.Parallel()
	a := newAsking(t, 1)
	u := UUID{0xBB, 0}
	admin, c := as(t, a.m, testAdmin), a.vtpms[0]
	says := func(when string, want bool, start ...evidence.Start) {
		t.Helper()
		a.m.sharesOf(u).tpm = bucket{}
		b, err := c.Attest(askFor(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		e, err := evidence.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		st, err := evidence.ParseStatement(e.Statement)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Flags&evidence.StartMeasured != 0; got != want {
			t.Errorf("%s: %v", when, got)
		}
		if want := append(start, evidence.Start{})[0]; st.Start != want {
			t.Errorf("%s: it started with %+v, want %+v", when, st.Start, want)
		}
	}
	guest := func(domain uint16) {
		t.Helper()
		for _, served := range []bool{false, true} {
			if _, err := c.Guest(domain, served); err != nil {
				t.Fatal(err)
			}
		}
	}
	says("without a guest", false)
	if err := admin.Created(20, u); err != nil {
		t.Fatal(err)
	}
	says("created, and not there yet", false)
	guest(20)
	says("created", true)
	if _, err := c.Guest(20, true); err != nil { // its frontend connected again
		t.Fatal(err)
	}
	says("connected again", true)
	s, err := a.m.Open(Peer{Domain: 101, UUID: UUID{0xBB, 0}})
	if err == nil {
		s.Close()
		t.Fatal("a second domain is admitted")
	}
	guest(21)
	says("another guest", false)
	guest(20)
	says("the first guest again", false)

	if err := as(t, a.m, testHost).CreatedMeasured(22, u, kernelA); err != nil {
		t.Fatal(err)
	}
	says("measured, and not there yet", false)
	guest(22)
	started := evidence.Start{Program: kernelA.Hash, Reporter: evidence.Host, Measurer: kernelA.Measurer}
	says("measured", true, started)
	if _, err := c.Guest(22, true); err != nil {
		t.Fatal(err)
	}
	says("connected again", true, started)
	if err := admin.CreatedMeasured(22, u, kernelB); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Guest(22, true); err != nil {
		t.Fatal(err)
	}
	says("another domain of that number, for which the TPM was not reset", false)
	if err := admin.CreatedMeasured(22, u, kernelB); err != nil {
		t.Fatal(err)
	}
	guest(22)
	says("measured", true, evidence.Start{Program: kernelB.Hash, Reporter: evidence.Administrator, Measurer: kernelB.Measurer})
	if _, err := c.Guest(23, false); err != nil {
		t.Fatal(err)
	}
	says("the TPM was made ready for another domain", false)
	if err := admin.CreatedMeasured(22, u, kernelB); err != nil {
		t.Fatal(err)
	}
	guest(22)
	says("another one", true, evidence.Start{Program: kernelB.Hash, Reporter: evidence.Administrator, Measurer: kernelB.Measurer})
	a.m.mu.Lock()
	old := a.m.connected[u]
	a.m.mu.Unlock()
	old.Close() // the vTPM's domain ends, and another one comes
	if err := admin.Measured(200, [32]byte{9}); err != nil {
		t.Fatal(err)
	}
	c = connect(t, a.m, Peer{Domain: 200, UUID: u})
	if _, err := c.Load(); err != nil {
		t.Fatal(err)
	}
	says("a vTPM that started again", false)
	guest(22)
	says("and serves the same guest", false)
}

func BenchmarkAttest(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := newAsking(b, n)
			b.ResetTimer()
			for b.Loop() {
				a.ask(b, n)
			}
		})
	}
}
