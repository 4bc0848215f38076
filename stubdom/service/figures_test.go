package service

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/drivers/block"
	"stubtpm/stubdom/statedisk"
	"stubtpm/vtpmmgr"
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

// BenchmarkNVWrite is TPM2_NV_Write of 64 bytes by so many guests at once, each
// with a vTPM that saves its state to a file of its own, and the manager's ledger in
// another; all are flushed. A hardware TPM is slower than this project's in
// process: "tpm+20ms" lets each of its commands take so much longer.
//
// Of the whole time, that in the hardware TPM is tpm-%; writes/s-without-tpm
// has it taken out.
func BenchmarkNVWrite(b *testing.B) {
	quiet := func(string, ...any) {}
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		for _, mode := range []ledger.Mode{{Daily: 54}, {}, {Bounded: time.Second}} {
			for _, guests := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("tpm+%v/%v/%d", delay, mode, guests), func(b *testing.B) {
					chip, err := newOwn(nil)
					if err != nil {
						b.Fatal(err)
					}
					bus := &slowTPM{bus: hardware{chip.Device}}
					m, err := newManager(bus, fileDisk(b, "ledger", 16<<20), mode, quiet)
					if err != nil {
						b.Fatal(err)
					}
					var all []hardware
					for n := range guests {
						u := vtpmmgr.UUID{1, byte(n)}
						if err := m.enroll(u, ""); err != nil {
							b.Fatal(err)
						}
						d, err := startVTPM(m, u, fileDisk(b, fmt.Sprint("vtpm", n), statedisk.MinDisk), quiet)
						if err != nil {
							b.Fatal(err)
						}
						if err := define(hardware{d}, nvOrdinary, tpm2.TPMNTOrdinary, 64, false); err != nil {
							b.Fatal(err)
						}
						if err := guestCommands[1].run(hardware{d}, 1); err != nil {
							b.Fatal(err)
						}
						all = append(all, hardware{d})
					}
					bus.delay = delay
					bus.took.Store(0)
					bus.commands.Store(0)
					b.ResetTimer()
					var wait sync.WaitGroup
					var left atomic.Int64
					left.Store(int64(b.N))
					for _, tpm := range all {
						wait.Go(func() {
							for n := 0; left.Add(-1) >= 0; n++ {
								if err := guestCommands[1].run(tpm, n); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wait.Wait()
					b.StopTimer()
					whole, tpm := b.Elapsed(), time.Duration(bus.took.Load())
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(b.N)/whole.Seconds(), "writes/s")
					b.ReportMetric(100*tpm.Seconds()/whole.Seconds(), "tpm-%")
					b.ReportMetric(float64(bus.commands.Load())/float64(b.N), "tpm-commands/write")
					b.ReportMetric(float64(b.N)/(whole-tpm).Seconds(), "writes/s-without-tpm")
				})
			}
		}
	}
}

// BenchmarkStart is the start of a manager with so many vTPMs, its disk a file.
func BenchmarkStart(b *testing.B) {
	quiet := func(string, ...any) {}
	for _, vtpms := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(vtpms), func(b *testing.B) {
			chip, err := newOwn(nil)
			if err != nil {
				b.Fatal(err)
			}
			bus := &slowTPM{bus: hardware{chip.Device}}
			disk := fileDisk(b, "ledger", 16<<20)
			m, err := newManager(bus, disk, ledger.Mode{Bounded: time.Hour}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			var wait sync.WaitGroup
			for w := range 100 {
				wait.Go(func() {
					for n := w; n < vtpms; n += 100 {
						if err := m.enroll(vtpmmgr.UUID{1, byte(n >> 8), byte(n)}, ""); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			if _, err := openManager(bus, disk, ledger.Mode{}, quiet); err != nil {
				b.Fatal(err)
			}
			bus.took.Store(0)
			bus.commands.Store(0)
			for b.Loop() {
				if _, err := openManager(bus, disk, ledger.Mode{}, quiet); err != nil {
					b.Fatal(err)
				}
			}
			tpm := time.Duration(bus.took.Load()) / time.Duration(b.N)
			b.ReportMetric(float64(tpm.Microseconds()), "us-in-tpm/op")
			b.ReportMetric(float64(bus.commands.Load())/float64(b.N), "tpm-commands/op")
		})
	}
}
