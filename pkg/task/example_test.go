package task_test

import (
	"context"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// The node is powered on under its exclusive lock; its record and the release are one write.
func Example() {
	ctx := context.Background()
	etcd := leasetest.New() // in production: clientv3.New
	defer etcd.Close()
	client := etcd.Client("c1")
	defer client.Close()
	registry, _ := hardware.NewRegistry(hardware.Config{})
	n := &node.Node{Name: "r1-u01", Driver: "fake-hardware"}
	_ = node.NewStore(client, lease.DefaultRoot).Create(ctx, n)

	session, _ := lease.Open(ctx, client, lease.Config{Holder: "c1.example"})
	defer session.Close(ctx)
	tasks, _ := task.NewManager(task.Config{Client: client, Sessions: session, Hardware: registry})
	defer tasks.Close(ctx)

	err := tasks.Exclusive(ctx, task.Request{Node: n.UUID, Purpose: "power on", Wait: 3 * time.Second},
		func(ctx context.Context, t *task.Exclusive) error {
			t.SaveAtEnd()
			return t.Driver().Power.Set(ctx, node.PowerOn)
		})
	fmt.Println(err)

	_ = tasks.Snapshot(ctx, task.Request{Node: n.UUID}, func(_ context.Context, t *task.Snapshot) error {
		fmt.Println(t.Node().Name, "is", t.Node().PowerState)
		return nil
	})
	// Output:
	// <nil>
	// r1-u01 is power on
}
