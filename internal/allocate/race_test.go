package allocate_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
)

var request = allocate.Request{}

// TestTenForTen: two conductors allocate ten nodes for ten allocations; all get
// one, no node goes twice.
func TestTenForTen(t *testing.T) {
	run := func(w *world) {
		both := []*conductor{w.conductor("c1"), w.conductor("c2")}
		for range 10 {
			w.node()
		}
		var wg sync.WaitGroup
		ids := make([]string, 10)
		for i := range ids {
			wg.Go(func() {
				al := &node.Allocation{ResourceClass: "baremetal", Name: named("a", i)}
				if err := both[i%2].Create(context.Background(), al, ""); err != nil {
					w.Error(err)
				}
				ids[i] = al.UUID
			})
		}
		wg.Wait()
		for _, id := range ids {
			if got := w.settled(id); got.State != node.AllocationActive {
				w.Errorf("%s: %s", got.Name, got.LastError)
			}
		}
		if given := w.consistent(); given != 10 {
			w.Errorf("%d allocations have a node", given)
		}
	}
	t.Run("memory", func(t *testing.T) { bubble(t, run) })
	t.Run("etcd", func(t *testing.T) { onEtcd(t, run) })
}

// TestOneForMany: the nodes are fewer than those who ask.
func TestOneForMany(t *testing.T) {
	run := func(w *world) {
		both := []*conductor{w.conductor("c1"), w.conductor("c2")}
		for range 3 {
			w.node()
		}
		var ids []string
		for i := range 8 {
			ids = append(ids, w.ask(both[i%2]).UUID)
		}
		active := 0
		for _, id := range ids {
			if w.settled(id).State == node.AllocationActive {
				active++
			}
		}
		if given := w.consistent(); given != 3 || active != 3 {
			w.Errorf("%d nodes given, %d allocations active", given, active)
		}
	}
	t.Run("memory", func(t *testing.T) { bubble(t, run) })
	t.Run("etcd", func(t *testing.T) { onEtcd(t, run) })
}

// TestOneWorkedOnByMany: an allocation that two conductors work on at once, which
// their names are to prevent, gets one node all the same.
func TestOneWorkedOnByMany(t *testing.T) {
	run := func(w *world) {
		first := w.conductor("c1")
		twin := w.allocator("c1", first) // knows nothing of what first works on
		for range 5 {
			w.node()
		}
		for range 5 {
			al := w.ask(first)
			if err := twin.Resume(context.Background()); err != nil {
				w.Fatal(err)
			}
			if got := w.settled(al.UUID); got.State != node.AllocationActive {
				w.Errorf("got %+v", got)
			}
		}
		if given := w.consistent(); given != 5 {
			w.Errorf("%d allocations have a node", given)
		}
	}
	t.Run("memory", func(t *testing.T) { bubble(t, run) })
	t.Run("etcd", func(t *testing.T) { onEtcd(t, run) })
}

func TestResume(t *testing.T) {
	t.Run("not what a living conductor works on", func(t *testing.T) {
		bubble(t, func(w *world) {
			c, other := w.conductor("c1"), w.conductor("c2")
			free := w.hold(other, w.node().UUID)
			al := w.ask(c)
			synctest.Wait()
			before := w.allocation(al.UUID).Revision
			for _, one := range []*conductor{c, other} {
				if err := one.Resume(w.Context()); err != nil {
					w.Fatal(err)
				}
			}
			if got := w.allocation(al.UUID); got.Revision != before || got.ConductorAffinity != "c1" {
				w.Errorf("got %+v", got)
			}
			free()
			time.Sleep(5 * time.Second)
			if given := w.consistent(); given != 1 {
				w.Errorf("%d allocations have a node", given)
			}
		})
	})
	t.Run("what a dead one left, by one of two who do it at once", func(t *testing.T) {
		bubble(t, func(w *world) {
			dead, a, b := w.conductor("c1"), w.conductor("c2"), w.conductor("c3")
			n := w.node()
			free := w.hold(a, n.UUID)
			al := w.ask(dead)
			synctest.Wait()
			if err := dead.Close(w.Context()); err != nil {
				w.Fatal(err)
			}
			w.dies("c1")
			free()
			time.Sleep(time.Minute)
			if got := w.allocation(al.UUID); got.State != node.AllocationAllocating {
				w.Fatalf("worked on after the end: %+v", got)
			}
			var wg sync.WaitGroup
			for _, one := range []*conductor{a, b} {
				wg.Go(func() {
					if err := one.Resume(context.Background()); err != nil {
						w.Error(err)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			if got := w.allocation(al.UUID); got.NodeUUID != n.UUID || got.ConductorAffinity == "c1" {
				w.Errorf("got %+v", got)
			}
			w.consistent()
		})
	})
	t.Run("its own after a new start", func(t *testing.T) {
		bubble(t, func(w *world) {
			c := w.conductor("c1")
			n := w.node()
			free := w.hold(c, n.UUID)
			al := w.ask(c)
			synctest.Wait()
			if err := c.Close(w.Context()); err != nil {
				w.Fatal(err)
			}
			free()
			if err := w.allocator("c1", c).Resume(w.Context()); err != nil {
				w.Fatal(err)
			}
			synctest.Wait()
			if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
				w.Errorf("got %+v", got)
			}
		})
	})
}

// TestEtcdGoes: a silence of etcd is no failure of an allocation.
func TestEtcdGoes(t *testing.T) {
	bubble(t, func(w *world) {
		_, n, al, free := w.heldBack()
		w.etcd.SetNetwork("c1", leasetest.Network{Request: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Lost: true, Err: leasetest.ErrUnavailable} }})
		time.Sleep(3 * time.Second)
		free()
		w.etcd.SetNetwork("c1", leasetest.Network{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
			w.Errorf("got %+v", got)
		}
		w.consistent()
	})
}

// TestSessionGoes: so is a lost session, which no new one follows here. Another
// conductor finishes the work.
func TestSessionGoes(t *testing.T) {
	bubble(t, func(w *world) {
		other, n, al, free := w.heldBack()
		w.etcd.Cut("c1")
		time.Sleep(time.Minute) // much longer than a lease
		w.etcd.Heal("c1")
		free()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.allocation(al.UUID); got.State != node.AllocationAllocating {
			w.Fatalf("without a session: %+v", got)
		}
		w.dies("c1")
		if err := other.Resume(w.Context()); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
			w.Errorf("got %+v", got)
		}
	})
}

// TestTakenForDead: a conductor that is taken for dead, and is not, does not fail
// what another works on by then.
func TestTakenForDead(t *testing.T) {
	bubble(t, func(w *world) {
		c, other := w.conductor("c1"), w.conductor("c2")
		n := w.node()
		free := w.hold(other, n.UUID)
		al := w.ask(c) // rounds at 0 s, 1 s and 2 s
		time.Sleep(1500 * time.Millisecond)
		w.dies("c1")
		if err := other.Resume(w.Context()); err != nil { // rounds at 1.5 s, 2.5 s and 3.5 s
			w.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if got := w.allocation(al.UUID); got.State != node.AllocationAllocating || got.ConductorAffinity != "c2" {
			w.Errorf("after the rounds of the first: %+v", got)
		}
		free()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
			w.Errorf("got %+v", got)
		}
	})
}
