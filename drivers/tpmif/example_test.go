package tpmif_test

import (
	"context"
	"fmt"

	"stubtpm/drivers/tpmif"
	"stubtpm/drivers/xen/xentest"
)

// An echo answers each command with the command.
type echo struct{}

func (echo) Open(p tpmif.Peer) (tpmif.Conn, error) {
	fmt.Println("domain", p.Domain, "connects as", p.UUID)
	return echo{}, nil
}

func (echo) Execute(locality uint8, command []byte) []byte { return append([]byte(nil), command...) }
func (echo) Cancel()                                       {}
func (echo) Close()                                        {}

// The toolstack attaches a device of domain 2 to domain 5; domain 5 connects and
// sends a command. The domains are goroutines on a host in memory.
func ExampleServer() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	host := xentest.NewHost()
	dom0, back, front := host.Domain(0), host.Domain(2), host.Domain(5)
	server := &tpmif.Server{Domain: back, Handler: echo{}, Log: func(string, ...any) {}}
	go server.Run(ctx)

	path, err := tpmif.Attach(ctx, dom0.Store, tpmif.Device{Front: 5, Back: 2, UUID: "00000000-0000-4000-8000-000000000001"})
	if err != nil {
		panic(err)
	}
	f, err := tpmif.ConnectAt(ctx, front, path)
	if err != nil {
		panic(err)
	}
	response, err := f.Transact(ctx, 0, []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x81})
	fmt.Printf("%x %v\n", response, err)
	// Output:
	// domain 5 connects as 00000000-0000-4000-8000-000000000001
	// 80010000000a00000181 <nil>
}
