package service

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"stubtpm/drivers/crb"
	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen"
	"stubtpm/vtpmmgr/proto"
)

// launched is PCR 0 of the SHA-256 bank after an H-CRTM of a name (TPM 2.0 Library, Part 1,
// "H-CRTM before TPM2_Startup()").
func launched(name string) string {
	digest := sha256.Sum256([]byte(name))
	start := make([]byte, sha256.Size)
	start[sha256.Size-1] = 4
	pcr := sha256.Sum256(append(start, digest[:]...))
	return string(pcr[:])
}

// openCRB connects a domain by a control area.
func (w *guestWorld) openCRB(domain xen.DomID, firmware bool) (crb.Conn, error) {
	return w.h.OpenCRB(tpmif.Peer{Domain: domain, UUID: proto.UUID(campaignUUID).String()}, firmware)
}

// measure does what the host does to measure a guest, up to the end if done is set.
func measure(c crb.Conn, done bool) {
	c.Signal(crb.SignalInit, nil)
	c.Signal(crb.SignalHashStart, nil)
	c.Signal(crb.SignalHashData, []byte("host"))
	c.Signal(crb.SignalHashEnd, nil)
	c.Execute(0, []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0}) // TPM2_Startup(CLEAR)
	if done {
		c.Signal(crb.SignalGuestRuns, nil)
	}
}

// TestBufferOfInterface: a guest by a control area has a larger buffer than one by a
// ring, and reads it in TPM_PT_MAX_RESPONSE_SIZE.
func TestBufferOfInterface(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	size := func(execute func(locality uint8, command []byte) []byte) uint32 {
		t.Helper()
		r := execute(0, []byte{0x80, 1, 0, 0, 0, 22, 0, 0, 1, 0x7A, 0, 0, 0, 6, 0, 0, 1, 0x1F, 0, 0, 0, 1})
		if len(r) != 27 {
			t.Fatalf("%x", r)
		}
		return binary.BigEndian.Uint32(r[23:])
	}
	for domain := xen.DomID(20); domain < 26; domain++ {
		if err := w.order(testHostKey).Created(uint16(domain), campaignUUID); err != nil {
			t.Fatal(err)
		}
		want := uint32(4096)
		var conn tpmif.Conn
		var err error
		if domain%2 == 0 {
			want = crb.BufferSize
			conn, err = w.openCRB(domain, false)
		} else {
			conn, err = w.h.Open(tpmif.Peer{Domain: domain, UUID: proto.UUID(campaignUUID).String()})
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := size(conn.Execute); got != want {
			t.Errorf("domain %d: %d bytes", domain, got)
		}
		conn.Close()
	}
}

// TestFirmware drives guests that the host measures, or does not, whole or in part, with
// vTPMs, managers and the host's process that end at any moment. The PCR of an H-CRTM is
// found only by a domain that the host called measured, and measured to the end, in the
// same life of the vTPM; and a guest that runs has neither signals nor localities.
func TestFirmware(t *testing.T) {
	t.Parallel()
	steps := 2000
	if testing.Short() {
		steps = 400
	}
	for seed := range uint64(4) {
		w := newGuestWorld(t, seed, true)
		r := rand.New(rand.NewPCG(seed, 9))
		program := proto.Program{Hash: [32]byte{1}, Measurer: "host"}
		var domain xen.DomID = 20
		word, measured := false, false // of this domain: told, and measured to the end
		running := false
		var conn crb.Conn
		closeConn := func() {
			if conn != nil {
				conn.Close()
				conn = nil
			}
		}
		// knows reports whether the vTPM has used the word about the domain.
		knows := func() bool {
			last := w.h.last.Load()
			return w.h.firmware && last != nil && *last == domain
		}
		done := map[string]int{}
		var trace []string
		for range steps {
			what := r.IntN(10)
			trace = append(trace, fmt.Sprintf("%d:%d w%v m%v r%v f%v", what, domain, word, measured, running, w.h.firmware))
			switch what {
			case 0, 1: // a new domain
				closeConn()
				domain++
				word, measured, running = false, false, false
				if r.IntN(4) > 0 {
					if err := w.order(testHostKey).CreatedMeasured(uint16(domain), campaignUUID, program); err != nil {
						t.Fatal(err)
					}
					word = true
				} else if r.IntN(2) == 0 {
					if err := w.order(testHostKey).Created(uint16(domain), campaignUUID); err != nil {
						t.Fatal(err)
					}
				}
			case 2, 3, 4: // the host measures; sometimes its process ends first
				closeConn()
				c, err := w.openCRB(domain, true)
				if err != nil {
					done["firmware refused"]++
					continue
				}
				if !word || running {
					t.Fatalf("seed %d: firmware of domain %d, told: %v, runs: %v: %q", seed, domain, word, running, trace[len(trace)-8:])
				}
				conn = c
				end := r.IntN(3) > 0
				measure(c, end)
				if end {
					measured, running, word = true, true, false
				}
				done[fmt.Sprint("measured ", end)]++
			case 5, 6: // the guest runs
				closeConn()
				c, err := w.openCRB(domain, false)
				if err != nil {
					done["guest refused"]++
					continue
				}
				conn, running, word = c, true, false
			case 7: // it plays firmware
				if conn == nil || !running {
					continue
				}
				before := w.h.device
				pcr := pcrBy(t, conn, 0)
				measure(conn, false)
				if got := pcrBy(t, conn, 0); got != pcr || w.h.device != before {
					t.Fatalf("seed %d: a guest that runs changed its PCR 0", seed)
				}
				for locality := uint8(1); locality < 6; locality++ {
					if got := conn.Execute(locality, readClock); !bytes.Equal(got, rcLocality) {
						t.Fatalf("seed %d: locality %d of a guest answers %x", seed, locality, got)
					}
				}
				done["played firmware"]++
			case 8: // the domain of the vTPM is another
				closeConn()
				if knows() {
					word = false // it was used
				}
				w.startVTPM()
				measured = false
				done["vTPM"]++
			case 9:
				closeConn()
				w.restartManager()
				word = word && knows()
				done["manager"]++
			}
			if conn != nil && running {
				if got := pcrBy(t, conn, 0) == launched("host"); got != measured {
					t.Fatalf("seed %d: domain %d has the PCR of an H-CRTM: %v, measured: %v", seed, domain, got, measured)
				}
			}
		}
		closeConn()
		t.Log(done)
		for _, what := range []string{"measured true", "measured false", "firmware refused", "played firmware"} {
			if done[what] == 0 {
				t.Errorf("seed %d: never: %s", seed, what)
			}
		}
	}
}

// readClock is TPM2_ReadClock.
var readClock = []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x81}

// pcrBy reads a PCR of the SHA-256 bank by a connection.
func pcrBy(t *testing.T, c crb.Conn, n byte) string {
	t.Helper()
	b := []byte{0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7E, 0, 0, 0, 1, 0, 0x0B, 3, 0, 0, 0}
	b[17+n/8] = 1 << (n % 8)
	r := c.Execute(0, b)
	if len(r) != 10+4+4+6+4+2+sha256.Size {
		t.Fatalf("TPM2_PCR_Read: %x", r)
	}
	return string(r[len(r)-sha256.Size:])
}

// TestFirmwareLeft: a guest that runs although the host never said so finds PCRs that are
// no one's.
func TestFirmwareLeft(t *testing.T) {
	t.Parallel()
	w := newGuestWorld(t, 1, true)
	if err := w.order(testHostKey).CreatedMeasured(9, campaignUUID, proto.Program{Hash: [32]byte{1}, Measurer: "host"}); err != nil {
		t.Fatal(err)
	}
	c, err := w.openCRB(9, true)
	if err != nil {
		t.Fatal(err)
	}
	measure(c, false)
	if _, err := w.h.Open(tpmif.Peer{Domain: 9, UUID: proto.UUID(campaignUUID).String()}); !errors.Is(err, errConnected) {
		t.Errorf("a ring beside the control area: %v", err)
	}
	c.Close()
	if c, err = w.openCRB(9, false); err != nil {
		t.Fatal(err)
	}
	if pcr := pcrBy(t, c, 0); pcr == launched("host") || pcr == string(make([]byte, 32)) {
		t.Error("PCR 0 is that of a start")
	}
	if s, err := w.order(testAdmin).Starts(); err != nil || len(s) != 1 || s[0].Start.Measured || s[0].Start.Created {
		t.Errorf("the manager says that the PCRs are those of the start: %+v, %v", s, err)
	}
}

// TestFirmwareLeftAnywhere: the host's process ends after any of its signals, and does not
// measure again. The guest then has a TPM that works, with PCRs that are no one's.
func TestFirmwareLeftAnywhere(t *testing.T) {
	t.Parallel()
	signals := []crb.Signal{crb.SignalInit, crb.SignalHashStart, crb.SignalHashData, crb.SignalHashEnd}
	for n := range len(signals) + 1 {
		w := newGuestWorld(t, 1, true)
		if err := w.order(testHostKey).CreatedMeasured(9, campaignUUID, proto.Program{Hash: [32]byte{1}, Measurer: "host"}); err != nil {
			t.Fatal(err)
		}
		c, err := w.openCRB(9, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range signals[:n] {
			c.Signal(s, []byte("host"))
		}
		c.Close()
		if c, err = w.openCRB(9, false); err != nil {
			t.Errorf("after %d signals: %v", n, err)
			continue
		}
		if pcr := pcrBy(t, c, 0); pcr == launched("host") || pcr == string(make([]byte, 32)) {
			t.Errorf("after %d signals: PCR 0 is that of a start", n)
		}
	}
}
