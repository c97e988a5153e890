package allocate_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// world is an etcd with nodes, and conductors that allocate them.
type world struct {
	*testing.T
	etcd  *leasetest.Etcd // nil: a real one
	open  func(host string) *clientv3.Client
	root  string
	store *node.Store

	mu   sync.Mutex
	live []string
}

// bubble runs a test on an etcd in memory, where time costs nothing.
func bubble(t *testing.T, run func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, etcd: leasetest.New(), root: lease.DefaultRoot}
		t.Cleanup(w.etcd.Close)
		w.open = w.etcd.Client
		w.store = node.NewStore(w.open("test"), w.root)
		run(w)
	})
}

var server struct {
	sync.Once
	etcd *embed.Etcd
	dir  string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.etcd != nil {
		server.etcd.Close()
		os.RemoveAll(server.dir)
	}
	os.Exit(code)
}

// onEtcd runs a test on a real etcd.
func onEtcd(t *testing.T, run func(w *world)) {
	t.Helper()
	server.Do(func() {
		var err error
		if server.dir, err = os.MkdirTemp("", "allocate-etcd-"); err != nil {
			t.Fatal(err)
		}
		cfg, loopback := embed.NewConfig(), []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
		cfg.Dir, cfg.UnsafeNoFsync = server.dir, true
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls, cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = loopback, loopback, loopback, loopback
		cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
		if server.etcd, err = embed.StartEtcd(cfg); err != nil {
			t.Fatal(err)
		}
		<-server.etcd.Server.ReadyNotify()
	})
	w := &world{T: t, root: "/t/" + uuid.NewString() + "/"}
	w.open = func(string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.etcd.Clients[0].Addr().String()}, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	w.store = node.NewStore(w.open("test"), w.root)
	run(w)
}

// conductor is one process.
type conductor struct {
	*allocate.Allocator
	tasks *task.Manager
	store *node.Store
}

func (w *world) conductor(host string) *conductor {
	w.Helper()
	client := w.open(host)
	session, err := lease.Open(w.Context(), client, lease.Config{Holder: host, Root: w.root})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = session.Close(context.Background()) })
	c := &conductor{store: node.NewStore(client, w.root)}
	c.tasks, err = task.NewManager(task.Config{Client: client, Root: w.root, Sessions: session, Hardware: hardwaretest.Registry(&hardwaretest.BMC{})})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.tasks.Close(context.Background()) })
	c.Allocator = w.allocator(host, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live = append(w.live, host)
	return c
}

// allocator is another life of a conductor.
func (w *world) allocator(host string, c *conductor) *allocate.Allocator {
	w.Helper()
	a, err := allocate.New(allocate.Config{Host: host, Store: c.store, Tasks: c.tasks, Live: w.alive, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func (w *world) alive(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.live...), nil
}

// dies takes a host out of those that live.
func (w *world) dies(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, h := range w.live {
		if h == host {
			w.live = append(w.live[:i], w.live[i+1:]...)
			return
		}
	}
}

// node adds an available node.
func (w *world) node(change ...func(*node.Node)) *node.Node {
	w.Helper()
	n := &node.Node{Driver: "fake-hardware", ProvisionState: node.StateAvailable, ResourceClass: "baremetal"}
	for _, f := range change {
		f(n)
	}
	if err := w.store.Create(w.Context(), n); err != nil {
		w.Fatal(err)
	}
	return n
}

// ask creates an allocation.
func (w *world) ask(c *conductor, change ...func(*node.Allocation)) *node.Allocation {
	w.Helper()
	al := &node.Allocation{ResourceClass: "baremetal"}
	for _, f := range change {
		f(al)
	}
	if err := c.Create(w.Context(), al, ""); err != nil {
		w.Fatal(err)
	}
	if al.State != node.AllocationAllocating {
		w.Fatalf("created in state %q", al.State)
	}
	return al
}

func (w *world) stored(id node.ID) *node.Node {
	w.Helper()
	n, err := w.store.Node(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) allocation(id string) *node.Allocation {
	w.Helper()
	al, err := w.store.Allocation(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return al
}

// settled waits until an allocation is no longer being worked on.
func (w *world) settled(id string) *node.Allocation {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		al := w.allocation(id)
		if al.State != node.AllocationAllocating {
			return al
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			w.Fatalf("allocation %s is still %q", id, al.State)
		}
	}
}

// consistent fails unless each allocation and its node point to one another, and
// answers how many have one.
func (w *world) consistent() (given int) {
	w.Helper()
	als, err := w.store.Allocations(context.Background(), node.ListRequest[*node.Allocation]{})
	if err != nil {
		w.Fatal(err)
	}
	nodes, err := w.store.Nodes(context.Background(), node.ListRequest[*node.Node]{})
	if err != nil {
		w.Fatal(err)
	}
	owner := map[string]string{} // of allocations, by node
	for _, al := range als.Items {
		if al.NodeUUID == "" {
			continue
		}
		given++
		if other := owner[string(al.NodeUUID)]; other != "" {
			w.Errorf("node %s went to %s and %s", al.NodeUUID, other, al.UUID)
		}
		owner[string(al.NodeUUID)] = al.UUID
	}
	for _, n := range nodes.Items {
		if n.AllocationUUID != owner[string(n.UUID)] || n.InstanceUUID != n.AllocationUUID {
			w.Errorf("node %s: allocation %q, instance %q, want %q", n.UUID, n.AllocationUUID, n.InstanceUUID, owner[string(n.UUID)])
		}
	}
	return given
}

// edit changes a node under its lock.
func (w *world) edit(c *conductor, id node.ID, change func(*node.Node)) {
	w.Helper()
	err := c.tasks.Exclusive(context.Background(), task.Request{Node: id, Purpose: "test", NoDriver: true, Wait: lease.Patient},
		func(_ context.Context, x *task.Exclusive) error {
			change(x.Node())
			x.SaveAtEnd()
			return nil
		})
	if err != nil {
		w.Fatal(err)
	}
}

// hold keeps a node's lock until free is called.
func (w *world) hold(c *conductor, id node.ID) (free func()) {
	w.Helper()
	held, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := c.tasks.Exclusive(context.Background(), task.Request{Node: id, Purpose: "hold", NoDriver: true},
			func(context.Context, *task.Exclusive) error {
				close(held)
				<-end
				return nil
			})
		if err != nil {
			w.Errorf("hold: %v", err)
		}
	})
	<-held
	return func() { close(end); wg.Wait() }
}

func named(name string, i int) string { return fmt.Sprintf("%s%d", name, i) }

// heldBack is an allocation that c1 searches a node for, while another conductor, c2, has the only
// one until free is called.
func (w *world) heldBack() (other *conductor, n *node.Node, al *node.Allocation, free func()) {
	w.Helper()
	c, other := w.conductor("c1"), w.conductor("c2")
	n = w.node()
	free = w.hold(other, n.UUID)
	al = w.ask(c)
	synctest.Wait()
	return other, n, al, free
}
