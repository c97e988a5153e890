package task_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

const (
	ttl    = 15 * time.Second
	margin = 3 * time.Second
)

// world is an etcd and machines, in a bubble of their own.
type world struct {
	*testing.T
	etcd  *leasetest.Etcd
	bmc   *hardwaretest.BMC
	admin *clientv3.Client
	store *node.Store
	after sync.WaitGroup
}

// later does something in a while, in any case before the etcd closes.
func (w *world) later(d time.Duration, f func()) {
	w.after.Go(func() {
		time.Sleep(d)
		f()
	})
}

// bubble runs a test in a world where time costs nothing.
func bubble(t *testing.T, name string, test func(w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, etcd: leasetest.New(), bmc: &hardwaretest.BMC{}}
			t.Cleanup(w.etcd.Close)
			t.Cleanup(w.after.Wait)
			w.admin = w.etcd.Client("admin")
			w.store = node.NewStore(w.admin, lease.DefaultRoot)
			test(w)
		})
	})
}

// conductor is a manager with a session of its own.
type conductor struct {
	*task.Manager
	w       *world
	name    string
	session *lease.Session

	mu    sync.Mutex
	notes []task.Notification
	log   bytes.Buffer
}

func (w *world) conductor(name string, change ...func(*task.Config)) *conductor {
	w.Helper()
	client := w.etcd.Client(name)
	s, err := lease.Open(w.Context(), client, lease.Config{Holder: name, TTL: ttl, Margin: margin})
	if err != nil {
		w.Fatal(err)
	}
	synctest.Wait() // until it watches
	c := &conductor{w: w, name: name, session: s}
	cfg := task.Config{
		Client: client, Sessions: s, Hardware: hardwaretest.Registry(w.bmc), Notify: c.note,
		Logger: slog.New(slog.NewTextHandler(c, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	if c.Manager, err = task.NewManager(cfg); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			w.Errorf("%s: close: %v", name, err)
		}
		w.etcd.Heal(name)
		s.Close(ctx)
	})
	return c
}

func (c *conductor) note(_ context.Context, n task.Notification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, n)
}

func (c *conductor) told() []task.Notification {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]task.Notification(nil), c.notes...)
}

// Write takes the log.
func (c *conductor) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *conductor) logged(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(c.log.String(), text)
}

// try runs an exclusive task that does not wait.
func (c *conductor) try(id node.ID, fn func(context.Context, *task.Exclusive) error) error {
	return c.Exclusive(c.w.Context(), task.Request{Node: id, Purpose: "try"}, fn)
}

// must is try for what has to work.
func (c *conductor) must(id node.ID, fn func(context.Context, *task.Exclusive) error) {
	c.w.Helper()
	if err := c.try(id, fn); err != nil {
		c.w.Fatal(err)
	}
}

// hold takes the exclusive lock until free is called.
func (c *conductor) hold(id node.ID) (free func()) {
	c.w.Helper()
	held, end, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		err := c.Exclusive(c.w.Context(), task.Request{Node: id, Purpose: "hold", Wait: lease.Patient},
			func(context.Context, *task.Exclusive) error {
				close(held)
				<-end
				return nil
			})
		if err != nil {
			c.w.Errorf("hold: %v", err)
		}
	}()
	<-held
	synctest.Wait() // all who watch know
	return func() { close(end); <-over }
}

// node creates a node, in a state unless that is empty.
func (w *world) node(state node.ProvisionState, change ...func(*node.Node)) node.ID {
	w.Helper()
	n := &node.Node{Driver: "fake-hardware", ProvisionState: state}
	for _, f := range change {
		f(n)
	}
	w.create(n)
	return n.UUID
}

func (w *world) create(r node.Record) {
	w.Helper()
	if err := w.store.Create(w.Context(), r); err != nil {
		w.Fatal(err)
	}
}

// stored is the node as etcd has it.
func (w *world) stored(id node.ID) *node.Node {
	w.Helper()
	n, err := w.store.Node(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) put(key, value string) {
	w.Helper()
	if _, err := w.admin.Put(w.Context(), lease.DefaultRoot+key, value); err != nil {
		w.Fatal(err)
	}
}

// keys are those below a prefix.
func (w *world) keys(prefix string) []string {
	w.Helper()
	r, err := w.admin.Get(context.Background(), lease.DefaultRoot+prefix, clientv3.WithPrefix())
	if err != nil {
		w.Fatal(err)
	}
	var keys []string
	for _, kv := range r.Kvs {
		keys = append(keys, strings.TrimPrefix(string(kv.Key), lease.DefaultRoot))
	}
	return keys
}

func (w *world) queue(id node.ID) lease.Queue {
	w.Helper()
	q, err := lease.Locks{Client: w.admin}.Queue(context.Background(), string(id))
	if err != nil {
		w.Fatal(err)
	}
	return q
}

// free fails unless nobody holds the node, nobody waits, and no section is open.
func (w *world) free(id node.ID) {
	w.Helper()
	if q := w.queue(id); len(q.Entries) > 0 {
		w.Errorf("queue of %s: %+v, want it empty", id, q.Entries)
	}
	if keys := w.keys("intents/" + string(id)); len(keys) > 0 {
		w.Errorf("left behind: %v", keys)
	}
}

// want fails unless err is of a kind.
func (w *world) want(err, kind error) {
	w.Helper()
	if !errors.Is(err, kind) {
		w.Fatalf("got error %v, want %v", err, kind)
	}
}

// same fails unless got is want.
func same[T comparable](w *world, what string, got, want T) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func in(id node.ID, purpose string) task.Request { return task.Request{Node: id, Purpose: purpose} }

func nothing(context.Context, *task.Exclusive) error { return nil }

func looks(context.Context, *task.Shared) error { return nil }

var errBody = errors.New("the body failed")
