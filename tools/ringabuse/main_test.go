package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen/xentest"
)

type handler struct{}

func (handler) Open(tpmif.Peer) (tpmif.Conn, error) { return handler{}, nil }
func (handler) Execute(uint8, []byte) []byte        { return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0} }
func (handler) Cancel()                             {}
func (handler) Close()                              {}

// TestAbuse abuses the real backend, on a host in memory.
func TestAbuse(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	h := xentest.NewHost()
	back, front := h.Domain(2), h.Domain(5)
	defer back.Store.Close()
	defer front.Store.Close()
	go (&tpmif.Server{Domain: back, Handler: handler{}, Log: func(string, ...any) {}}).Run(ctx)
	path, err := tpmif.Attach(ctx, front.Store, tpmif.Device{Front: 5, Back: 2, UUID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := abuse(ctx, front, path, 500*time.Millisecond, rand.New(rand.NewPCG(1, 1)), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "answers after the abuse") || strings.Contains(out.String(), "finish 0,") {
		t.Error(out.String())
	}
	t.Log(out.String())
}

func TestUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-duration", "x"}, {"extra"}, {"-duration", "-1s"}, {"-attach", "40000"}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: code %d, %q", args, code, errs.String())
		}
	}
}
