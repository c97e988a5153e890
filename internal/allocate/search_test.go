package allocate_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
)

func TestAllocate(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.conductor("c1")
		n := w.node(func(n *node.Node) {
			n.Traits = []string{"CUSTOM_A", "CUSTOM_B"}
			n.InstanceInfo = node.Object{"kept": "yes"}
		})
		al := w.ask(c, func(al *node.Allocation) { al.Traits = []string{"CUSTOM_B"} })
		synctest.Wait()
		got, on := w.allocation(al.UUID), w.stored(n.UUID)
		if got.State != node.AllocationActive || got.NodeUUID != n.UUID || got.LastError != "" || got.ConductorAffinity != "c1" {
			w.Errorf("got %+v", got)
		}
		traits, _ := on.InstanceInfo["traits"].([]any)
		if on.InstanceUUID != al.UUID || on.AllocationUUID != al.UUID || len(traits) != 1 || traits[0] != "CUSTOM_B" || on.InstanceInfo["kept"] != "yes" {
			w.Errorf("got instance %q, allocation %q, info %v", on.InstanceUUID, on.AllocationUUID, on.InstanceInfo)
		}
		if on.Revision != got.Revision {
			w.Errorf("the node was written at %d, the allocation at %d", on.Revision, got.Revision)
		}
		if on.WrittenBy == nil {
			w.Error("the node was written without a lock")
		}
		second := w.ask(c) // the only node is taken
		synctest.Wait()
		if got := w.allocation(second.UUID); got.State != node.AllocationError || !strings.Contains(got.LastError, `no node of resource class "baremetal" is available`) {
			w.Errorf("got %+v", got)
		}
	})
}

// TestWhoFits has one fitting node among others, and one request for each reason.
func TestWhoFits(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.conductor("c1")
		parent := w.node(func(n *node.Node) { n.ProvisionState = node.StateActive })
		for _, spoil := range []func(*node.Node){
			func(n *node.Node) { n.ResourceClass = "other" },
			func(n *node.Node) { n.ResourceClass = "" },
			func(n *node.Node) { n.ProvisionState = node.StateManageable },
			func(n *node.Node) { n.Maintenance = true },
			func(n *node.Node) { n.InstanceUUID = uuid.NewString() },
			func(n *node.Node) { n.AllocationUUID = uuid.NewString() },
			func(n *node.Node) { n.ParentNode = string(parent.UUID) },
		} {
			bad := w.node(spoil)
			al := w.ask(c)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.State != node.AllocationError {
				w.Errorf("%v: got %+v", bad, got)
			}
		}
		good := w.node(func(n *node.Node) { n.Owner, n.Traits = "p1", []string{"CUSTOM_A"} })
		for _, tt := range []struct {
			spoil func(*node.Allocation)
			want  string
		}{
			{func(al *node.Allocation) { al.Traits = []string{"CUSTOM_A", "CUSTOM_B"} }, "has the traits CUSTOM_A, CUSTOM_B"},
			{func(al *node.Allocation) { al.CandidateNodes = []string{string(parent.UUID)} }, "none of the candidate nodes"},
			{func(al *node.Allocation) { al.Owner = "p2" }, "is available"},
			{func(al *node.Allocation) { al.ResourceClass = "gpu" }, `"gpu"`},
		} {
			al := w.ask(c, tt.spoil)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.State != node.AllocationError || !strings.Contains(got.LastError, tt.want) {
				w.Errorf("got %+v, want %s", got, tt.want)
			}
		}
		al := w.ask(c, func(al *node.Allocation) {
			al.Traits, al.CandidateNodes, al.Owner = []string{"CUSTOM_A"}, []string{string(parent.UUID), string(good.UUID)}, "p1"
		})
		synctest.Wait()
		if got := w.allocation(al.UUID); got.NodeUUID != good.UUID {
			w.Errorf("got %+v", got)
		}
	})
}

// TestNamesakeFirst: the order is random, but for the node of the same name.
func TestNamesakeFirst(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.conductor("c1")
		for i := range 8 {
			w.node(func(n *node.Node) { n.Name = named("n", i) })
		}
		al := w.ask(c, func(al *node.Allocation) { al.Name = "n6" })
		synctest.Wait()
		if n := w.stored(w.allocation(al.UUID).NodeUUID); n.Name != "n6" {
			w.Errorf("got %s", n.Name)
		}
	})
}

func TestLockedNodes(t *testing.T) {
	t.Run("are passed over", func(t *testing.T) {
		bubble(t, func(w *world) {
			c, other := w.conductor("c1"), w.conductor("c2")
			var free []func()
			for range 3 {
				free = append(free, w.hold(other, w.node().UUID))
			}
			n := w.node()
			start := time.Now()
			al := w.ask(c)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.NodeUUID != n.UUID || time.Since(start) != 0 {
				w.Errorf("got %+v after %s", got, time.Since(start))
			}
			for _, f := range free {
				f()
			}
		})
	})
	t.Run("are tried three times, a second apart", func(t *testing.T) {
		bubble(t, func(w *world) {
			c, other := w.conductor("c1"), w.conductor("c2")
			free := w.hold(other, w.node().UUID)
			al := w.ask(c)
			time.Sleep(1900 * time.Millisecond)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.State != node.AllocationAllocating {
				w.Errorf("after two rounds: %+v", got)
			}
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.State != node.AllocationError || !strings.Contains(got.LastError, "all 1 nodes that fit are locked") {
				w.Errorf("after three rounds: %+v", got)
			}
			free()
		})
	})
	t.Run("and may be free at the third", func(t *testing.T) {
		bubble(t, func(w *world) {
			c, other := w.conductor("c1"), w.conductor("c2")
			n := w.node()
			free := w.hold(other, n.UUID)
			al := w.ask(c)
			time.Sleep(1500 * time.Millisecond)
			free()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
				w.Errorf("got %+v", got)
			}
		})
	})
}

// TestChangesMeanwhile: what happens to an allocation or a node between two rounds.
func TestChangesMeanwhile(t *testing.T) {
	t.Run("a new name does not stop the search", func(t *testing.T) {
		bubble(t, func(w *world) {
			_, n, al, free := w.heldBack()
			renamed := al.Clone()
			renamed.Name = "new"
			ch, err := w.store.Keys().Update(al, renamed)
			if err == nil {
				_, err = w.store.Commit(w.Context(), ch)
			}
			if err != nil {
				w.Fatal(err)
			}
			free()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.NodeUUID != n.UUID || got.Name != "new" {
				w.Errorf("got %+v", got)
			}
			w.consistent()
		})
	})
	t.Run("a deletion does", func(t *testing.T) {
		bubble(t, func(w *world) {
			other, n, al, free := w.heldBack()
			if err := other.Delete(w.Context(), al.UUID, request); err != nil {
				w.Fatal(err)
			}
			free()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := w.stored(n.UUID); got.AllocationUUID != "" || got.InstanceUUID != "" {
				w.Errorf("got %+v", got.AllocationUUID)
			}
		})
	})
	t.Run("a node that no longer fits is passed over", func(t *testing.T) {
		bubble(t, func(w *world) {
			other, n, al, free := w.heldBack()
			free()
			w.edit(other, n.UUID, func(n *node.Node) { n.Maintenance = true })
			time.Sleep(time.Second)
			synctest.Wait()
			if got := w.allocation(al.UUID); got.State != node.AllocationError || !strings.Contains(got.LastError, "changed meanwhile") {
				w.Errorf("got %+v", got)
			}
			w.consistent()
		})
	})
	t.Run("an instance that has its uuid is not taken away", func(t *testing.T) {
		bubble(t, func(w *world) {
			c := w.conductor("c1")
			id := uuid.NewString()
			w.node(func(n *node.Node) { n.InstanceUUID = id })
			n := w.node()
			w.ask(c, func(al *node.Allocation) { al.UUID = id })
			synctest.Wait()
			if got := w.allocation(id); got.State != node.AllocationError || w.stored(n.UUID).AllocationUUID != "" {
				w.Errorf("got %+v", got)
			}
		})
	})
}
