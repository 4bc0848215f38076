package proto_test

import (
	"fmt"

	"stubtpm/vtpmmgr/proto"
)

// A vTPM's client draws random numbers from the manager, over whatever carries one
// message at a time. Here the manager is a function that knows one request.
func ExampleClient() {
	manager := func(message []byte) ([]byte, error) {
		tag, ordinal, _, err := proto.Parse(message)
		if err != nil || tag != proto.TagRequest || proto.Ordinal(ordinal) != proto.Random {
			return proto.Message(proto.TagResponse, uint32(proto.BadOrdinal), nil), nil
		}
		return proto.Message(proto.TagResponse, uint32(proto.OK), []byte{1, 2, 3, 4}), nil
	}
	c := &proto.Client{Transact: manager}
	b, err := c.Random(4)
	fmt.Printf("%x %v\n", b, err)
	_, err = c.Load()
	fmt.Println(err)
	// Output:
	// 01020304 <nil>
	// vtpmmgr: bad ordinal
}
