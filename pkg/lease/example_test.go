package lease_test

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// Two sessions want one lock. The one that is refused learns who has it; the one that has it
// writes a record with the release.
func Example() {
	ctx := context.Background()
	etcd := leasetest.New() // in production: clientv3.New
	defer etcd.Close()
	a, _ := lease.Open(ctx, etcd.Client("a"), lease.Config{Holder: "c1.example"})
	defer a.Close(ctx)
	b, _ := lease.Open(ctx, etcd.Client("b"), lease.Config{Holder: "c2.example"})
	defer b.Close(ctx)

	l, _ := a.Acquire(ctx, lease.Request{Name: "node-7", Purpose: "deploy"})
	_, err := b.Acquire(ctx, lease.Request{Name: "node-7", Purpose: "power off"})
	if held, ok := errors.AsType[*lease.HeldError](err); ok {
		fmt.Printf("%s has it for %q\n", held.Holder().Holder, held.Holder().Purpose)
	}
	err = l.Release(ctx, lease.Write{Then: []clientv3.Op{clientv3.OpPut("/conductor/v1/nodes/node-7", "deployed")}})
	fmt.Println("released:", err)

	l, err = b.Acquire(ctx, lease.Request{Name: "node-7", Purpose: "power off", Read: []string{"/conductor/v1/nodes/node-7"}})
	fmt.Printf("%s: %s, %v\n", l.Purpose(), l.Records().KVs[0].Value, err)
	// Output:
	// c1.example has it for "deploy"
	// released: <nil>
	// power off: deployed, <nil>
}
