//go:build tamago

// Xentest is a unikernel that tests board/xen and what stands on it, in a domain
// of a real Xen.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"stubtpm/board/pvh"
	board "stubtpm/board/xen"
	"stubtpm/drivers/xen/xenstore"
)

func main() {
	major, minor := board.Version()
	fmt.Printf("xentest: Xen %d.%d, domain %d, heap of %d KiB, %v\n", major, minor, board.DomID(), pvh.HeapSize()>>10, time.Now().UTC())
	ring, err := board.StoreRing()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	store := xenstore.NewClient(ring)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	name, err := store.Read(ctx, "name")
	fmt.Println("name", name, err)
	time.Sleep(time.Second)
	os.Exit(0)
}
