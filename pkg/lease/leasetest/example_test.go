package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// A lost answer is not a lost request: the caller does not know, but the key
// is there. In a test, do this inside synctest.Test, where the 100 ms take no
// time.
func Example() {
	etcd := leasetest.New()
	defer etcd.Close()
	client := etcd.Client("c1")

	etcd.SetNetwork("c1", leasetest.Network{
		Answer: func(c leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Lost: c.Method == "Txn"}
		},
	})

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision("lock"), "=", 0)).
		Then(clientv3.OpPut("lock", "mine")).
		Commit()
	fmt.Println("timed out:", errors.Is(err, context.DeadlineExceeded))

	resp, err := client.Get(context.Background(), "lock")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s = %s\n", resp.Kvs[0].Key, resp.Kvs[0].Value)
	fmt.Println("raft entries:", etcd.RaftEntries())
	// Output:
	// timed out: true
	// lock = mine
	// raft entries: 1
}

// A network that loses, repeats and delays, the same for the same seed.
func ExampleSeeded() {
	etcd := leasetest.New()
	defer etcd.Close()
	client := etcd.Client("c1")
	etcd.SetNetwork("c1", leasetest.Seeded(1, leasetest.Faults{
		MaxDelay: 2 * time.Millisecond,
		MaxLate:  20 * time.Millisecond,
		Repeat:   0.5,
	}))
	if _, err := client.Put(context.Background(), "k", "v"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(etcd.Revision() > 1)
	// Output: true
}
