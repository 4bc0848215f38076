package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	a, b = "0a000000000000000000000000000000", "0b000000000000000000000000000000"
	c    = "0c000000000000000000000000000000"
	vtpm = "01000000-0000-0000-0000-000000000000"
)

// TestCommand gives each call on the command line, with no store and with one that does not
// answer.
func TestCommand(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	pub := fmt.Sprintf("%x", key.Public())
	var word bytes.Buffer
	change := "-host " + a + " -at 0.2 -to " + b + " "
	if code := run(strings.Fields("word "+change+"-restored 1 -key "+name+" "+vtpm), &word, t.Output()); code != 0 {
		t.Fatalf("word: exit code %d", code)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hosts, silent := "-hosts "+a+","+b+" ", "-timeout 200ms -endpoints "+l.Addr().String()+" "
	for _, try := range []struct {
		line string
		code int
		out  string
	}{
		{hosts + "claim -host " + a + " -approver " + pub + " " + vtpm, 0, vtpm + " owner " + a + " epoch 0.0\n"},
		{hosts + "hand-over " + change + vtpm, 0, vtpm + " owner " + b + " epoch 0.3\n"},
		{hosts + "look " + vtpm, 1, ""},
		{hosts + "fence " + change + "-restored 1 -approver " + pub + " -word " + word.String() + " " + vtpm, 0, vtpm + " owner " + b + " epoch 1.0\n"},
		{hosts + "fence " + change + "-restored 2 -approver " + pub + " -word " + word.String() + " " + vtpm, 3, ""},
		{hosts + "claim -host " + c + " -approver " + pub + " " + vtpm, 2, ""},
		{hosts + "hand-over -host " + a + " -at 0.2 -to " + c + " " + vtpm, 2, ""},
		{"-hosts " + a + "," + a + " claim -host " + a + " -approver " + pub + " " + vtpm, 2, ""},
		{silent + "look " + vtpm, 1, ""},
		{silent + "claim -host " + a + " -approver " + pub + " " + vtpm, 1, ""},
		{"word " + change + "-restored 0 -key " + name + " " + vtpm, 2, ""},
		{"look " + vtpm, 2, ""},
		{hosts + "look", 2, ""},
		{hosts + "look no-uuid", 2, ""},
		{hosts + "seize " + vtpm, 2, ""},
		{hosts + "claim -host " + a + "00 -approver " + pub + " " + vtpm, 2, ""},
		{hosts + "hand-over -host " + a + " -at 1 -to " + b + " " + vtpm, 2, ""},
		{hosts + silent + "look " + vtpm, 2, ""},
		{silent + "-cert x look " + vtpm, 2, ""},
		{"-timeout 2m " + hosts + "look " + vtpm, 2, ""},
		{"", 2, ""},
	} {
		var out, errs bytes.Buffer
		if code := run(strings.Fields(try.line), &out, &errs); code != try.code || out.String() != try.out || code != 0 && errs.Len() == 0 {
			t.Errorf("%s: exit code %d, %q, %q; want %d, %q", try.line, code, out.String(), errs.String(), try.code, try.out)
		}
	}
}
