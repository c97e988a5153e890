package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// world is some conductors that recover by taking the lock and settling.
type world struct {
	t     *testing.T
	etcd  *leasetest.Etcd
	store *node.Store
	ids   []node.ID

	mu   sync.Mutex
	done map[node.ID][]string // who settled, after how long
	at   map[node.ID]time.Time
}

func newWorld(t *testing.T, nodes int) *world {
	w := &world{t: t, etcd: leasetest.New(), done: map[node.ID][]string{}, at: map[node.ID]time.Time{}}
	t.Cleanup(w.etcd.Close)
	w.store = node.NewStore(w.etcd.Client("test"), lease.DefaultRoot)
	for range nodes {
		n := &node.Node{Driver: "fake-hardware", ProvisionState: node.StateDeploying}
		if err := w.store.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, n.UUID)
	}
	return w
}

// conductor runs a takeover. A lazy one sees the work and does nothing.
func (w *world) conductor(ctx context.Context, host string, lazy bool) *lease.Session {
	s := openAs(w.t, w.etcd, host)
	c := w.etcd.Client(host)
	m, err := cluster.Follow(ctx, c, lease.DefaultRoot, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(m.Close)
	take := cluster.NewTakeover(cluster.TakeoverConfig{
		Host: host, Members: m, Locks: lease.Locks{Client: c}, Store: node.NewStore(c, lease.DefaultRoot),
		Recover: func(ctx context.Context, id node.ID) error {
			if lazy {
				return nil
			}
			return w.settle(ctx, s, host, id)
		},
	})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	wg.Go(func() { take.Run(ctx) })
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

func (w *world) settle(ctx context.Context, s *lease.Session, host string, id node.ID) error {
	l, err := s.Acquire(ctx, lease.Request{Name: string(id), Purpose: "recover"})
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	if l.Abandoned() != nil {
		w.mu.Lock()
		w.done[id] = append(w.done[id], host)
		w.at[id] = time.Now()
		w.mu.Unlock()
	}
	l.Settle()
	return l.Release(ctx, lease.Write{})
}

func (w *world) hold(s *lease.Session, id node.ID) {
	w.t.Helper()
	if _, err := s.Acquire(w.t.Context(), lease.Request{Name: string(id), Purpose: "deploy"}); err != nil {
		w.t.Fatal(err)
	}
}

// What a dead conductor had in flight, 200 nodes, is in good hands within 5 s of
// the end of its lease, each in those of one conductor, and shared between them.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 200)
		ctx := t.Context()
		for i := range 3 {
			w.conductor(ctx, fmt.Sprintf("live%d", i), false)
		}
		dying := openAs(t, w.etcd, "dying")
		for _, id := range w.ids {
			w.hold(dying, id)
		}
		time.Sleep(time.Minute)
		if len(w.done) > 0 {
			t.Fatal("recovered what a live conductor does")
		}
		w.etcd.Cut("dying")
		died := time.Now()
		time.Sleep(15*time.Second + 5*time.Second)
		share := map[string]int{}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, id := range w.ids {
			if len(w.done[id]) != 1 {
				t.Fatalf("node %s was recovered by %v", id, w.done[id])
			}
			share[w.done[id][0]]++
		}
		if len(share) != 3 {
			t.Errorf("shared as %v", share)
		}
		for id, at := range w.at {
			if took := at.Sub(died); took > 20*time.Second {
				t.Errorf("node %s after %s", id, took)
			}
		}
	})
}

// If the conductor whose turn it is does nothing, the next one does; and a lock
// that was broken leaves work behind, too.
func TestTakeoverInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20)
		w.conductor(t.Context(), "lazy", true)
		w.conductor(t.Context(), "busy", false)
		holder := openAs(t, w.etcd, "holder")
		locks := lease.Locks{Client: w.etcd.Client("operator")}
		for _, id := range w.ids {
			w.hold(holder, id)
			q, err := locks.Queue(t.Context(), string(id))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := locks.Break(t.Context(), string(id), q.Entries[0].Create, "operator", "test"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.done) != len(w.ids) {
			t.Errorf("%d of %d nodes recovered", len(w.done), len(w.ids))
		}
	})
}
