package service

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/vtpm"
	"stubtpm/vtpmmgr/hwtpm"
	"stubtpm/vtpmmgr/ledger"
)

// A slowTPM notes the time that the hardware TPM takes, and adds to it what a
// real one needs more.
type slowTPM struct {
	bus      transport.TPM
	delay    time.Duration
	commands atomic.Int64
	took     atomic.Int64
}

func (s *slowTPM) Send(b []byte) ([]byte, error) {
	start := time.Now()
	r, err := s.bus.Send(b)
	time.Sleep(s.delay)
	s.commands.Add(1)
	s.took.Add(int64(time.Since(start)))
	return r, err
}

func fileDisk(b *testing.B, name string, size int64) *block.File {
	b.Helper()
	name = filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		b.Fatal(err)
	}
	d, err := block.OpenFile(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

// BenchmarkLedger is commits of many writers at once, through the hardware
// TPM's sessions, on a file that is flushed. The time in the TPM is shown:
// commits/s is with it, and the TPM's part of the whole time is tpm-%.
func BenchmarkLedger(b *testing.B) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		for _, mode := range []ledger.Mode{{}, {Bounded: time.Second}} {
			for _, writers := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("tpm+%v/%v/%d", delay, mode, writers), func(b *testing.B) {
					d, err := vtpm.Manufacture(vtpm.Config{Store: noStore{}})
					if err != nil {
						b.Fatal(err)
					}
					bus := &slowTPM{bus: hardware{d}}
					t, err := hwtpm.Open(bus, hwtpm.Options{})
					if err != nil {
						b.Fatal(err)
					}
					key := make([]byte, 32)
					if _, err := t.Create([16]byte{1}, key, hwtpm.Policy{PCRs: []uint{0}}); err != nil {
						b.Fatal(err)
					}
					s, err := ledger.Format(ledger.Config{Disk: fileDisk(b, "ledger", 16<<20), Offset: hwtpm.Area, Manager: ledger.ID{1},
						Key: key, Anchor: t.Anchor(), Mode: mode})
					if err != nil {
						b.Fatal(err)
					}
					defer s.Close()
					body := make([]byte, 300)
					for n := range writers {
						if err := s.Commit(ledger.Change{ID: ledger.ID{1, byte(n)}, Body: body}); err != nil {
							b.Fatal(err)
						}
					}
					bus.delay = delay
					bus.took.Store(0)
					bus.commands.Store(0)
					b.ResetTimer()
					var wait sync.WaitGroup
					var left atomic.Int64
					left.Store(int64(b.N))
					for n := range writers {
						wait.Go(func() {
							for left.Add(-1) >= 0 {
								if err := s.Commit(ledger.Change{ID: ledger.ID{1, byte(n)}, Body: body}); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wait.Wait()
					b.StopTimer()
					whole, tpm := b.Elapsed(), time.Duration(bus.took.Load())
					b.ReportMetric(float64(b.N)/whole.Seconds(), "commits/s")
					b.ReportMetric(100*tpm.Seconds()/whole.Seconds(), "tpm-%")
					b.ReportMetric(float64(bus.commands.Load())/float64(b.N), "tpm-commands/commit")
					b.ReportMetric(float64(b.N)/(whole-tpm).Seconds(), "commits/s-without-tpm")
				})
			}
		}
	}
}
