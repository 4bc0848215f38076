package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"stubtpm/vtpmmgr"
	"stubtpm/vtpmmgr/proto"
)

// TestMeasuredStarts: a record that requires measured starts has the report of another
// start refused, and lists show what the guest was started with.
func TestMeasuredStarts(t *testing.T) {
	t.Parallel()
	h := newSite(t, nil)
	kernel, loader, other := strings.Repeat("1a", 32), strings.Repeat("2b", 32), strings.Repeat("3c", 32)
	file := h.file("kernels")
	if err := os.WriteFile(file, []byte("# kernels\n\n"+loader+"  loader.elf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.refused(exitUsage, "--start-images needs --starts measured", "enroll", testUUID, "--start-images", kernel)
	h.refused(exitUsage, "--starts sealed: want measured", "enroll", testUUID, "--starts", "sealed")
	h.refused(exitUsage, "twice", "enroll", testUUID, "--starts", "measured", "--start-images", kernel+","+kernel)
	h.refused(exitFail, "no such file", "enroll", testUUID, "--starts", "measured", "--start-images", h.file("none"))
	h.do("enroll", testUUID, "--starts", "measured", "--start-images", kernel+","+file)
	h.do("amend", testUUID, "--name", "mail")
	var v vtpmView
	h.json(&v, "show", testUUID)
	if v.Starts != "measured" || !slices.Equal(v.Programs, []string{kernel, loader}) || v.Guest != nil {
		t.Errorf("enrolled: %+v", v)
	}

	h.refused(exitRefused, "start was not measured", "created", "9", testUUID)
	h.refused(exitRefused, "does not list", "created", "9", testUUID, "--measured", other)
	h.refused(exitUsage, "32 bytes", "created", "9", testUUID, "--measured", "1a")
	h.refused(exitUsage, "zeros", "created", "9", testUUID, "--measured", strings.Repeat("0", 64))
	h.refused(exitUsage, "measurer", "created", "9", testUUID, "--measured", kernel, "--measurer", "a\nb")
	h.do("created", "9", testUUID, "--measured", loader, "--measurer", "a host 1")
	h.serve(9)() // and the vTPM ends
	h.json(&v, "show", testUUID)
	if v.Guest == nil || *v.Guest != (guestView{Domain: 9, Start: "unknown"}) {
		t.Errorf("with a vTPM that has gone: %+v", v.Guest)
	}
	h.do("created", "10", testUUID, "--measured", loader, "--measurer", "a host 1")
	end := h.serve(10)
	h.json(&v, "show", testUUID)
	if want := (guestView{10, "measured", loader, "a host 1", "admin"}); v.Guest == nil || *v.Guest != want {
		t.Errorf("started: %+v", v.Guest)
	}
	if out := h.do("list"); !strings.Contains(out, "measured  10 measured  mail") {
		t.Errorf("list:\n%s", out)
	}
	if out := h.do("status"); !strings.Contains(out, "1 with the PCRs of their start, 1 of them measured") {
		t.Errorf("status:\n%s", out)
	}
	end()
	h.do("amend", testUUID, "--start-images", "any")
	h.do("created", "11", testUUID, "--measured", other)
	h.refused(exitUsage, "needs --starts measured", "amend", testUUID, "--starts", "attested", "--start-images", other)
	h.do("amend", testUUID, "--starts", "attested")
	h.do("created", "12", testUUID)
	h.json(&v, "show", testUUID)
	if v.Starts != "attested" || len(v.Programs) != 0 {
		t.Errorf("amended: %+v", v)
	}
}

// serve has a vTPM give a domain the TPM, and returns what ends the vTPM.
func (h *site) serve(domain uint16) (end func()) {
	h.t.Helper()
	u, _ := proto.ParseUUID(testUUID)
	s, err := h.m.Open(vtpmmgr.Peer{Domain: 5, UUID: u})
	if err != nil {
		h.t.Fatal(err)
	}
	c := proto.Client{Transact: func(b []byte) ([]byte, error) { return s.Execute(b), nil }}
	if _, err := c.Load(); err != nil {
		h.t.Fatal(err)
	}
	for _, served := range []bool{false, true} {
		if _, err := c.Guest(domain, served); err != nil {
			h.t.Fatal(err)
		}
	}
	return s.Close
}
