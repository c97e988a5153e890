package task_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestSaveWith(t *testing.T) {
	// setting is a node and an allocation, with the change that gives the node to it.
	setting := func(w *world) (id node.ID, a *node.Allocation, change func() node.Change) {
		id, a = w.node(node.StateAvailable), &node.Allocation{ResourceClass: "baremetal"}
		w.create(a)
		return id, a, func() node.Change {
			b := a.Clone()
			b.State, b.NodeUUID = node.AllocationActive, id
			c, err := w.store.Keys().Update(a, b)
			w.want(err, nil)
			return c
		}
	}
	now := func(w *world, a *node.Allocation) *node.Allocation {
		b, err := w.store.Allocation(context.Background(), a.UUID)
		w.want(err, nil)
		return b
	}
	bubble(t, "both are written at one revision", func(w *world) {
		c := w.conductor("c1")
		id, a, change := setting(w)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().AllocationUUID = a.UUID
			w.want(x.SaveWith(ctx, change()), nil)
			x.Node().Description = "later"
			return x.Save(ctx) // the task knows the revision that it wrote
		})
		n, b := w.stored(id), now(w, a)
		if n.AllocationUUID != a.UUID || n.Description != "later" || b.State != node.AllocationActive || b.WrittenBy != nil {
			w.Errorf("got %v, %+v", n, b)
		}
		h := w.history("nodes/")
		same(w, "revision of the allocation", b.Revision, h[len(h)-2].rev)
	})
	bubble(t, "a record that changed refuses both", func(w *world) {
		c := w.conductor("c1")
		id, a, change := setting(w)
		late := change()
		w.put("allocations/"+a.UUID, `{"state": "error"}`)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().AllocationUUID = a.UUID
			w.want(x.SaveWith(ctx, late), node.ErrStale)
			return nil
		})
		if n := w.stored(id); n.AllocationUUID != "" || now(w, a).State != node.AllocationError {
			w.Errorf("got %v, %+v", n.AllocationUUID, now(w, a))
		}
	})
	bubble(t, "without the lock neither is written", func(w *world) {
		c := w.conductor("c1")
		id, a, change := setting(w)
		err := c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			q := w.queue(id)
			if _, err := (lease.Locks{Client: w.admin}).Break(ctx, string(id), q.Entries[0].Create, "admin", "test"); err != nil {
				w.Fatal(err)
			}
			x.Node().AllocationUUID = a.UUID
			err := x.SaveWith(ctx, change())
			w.want(err, lease.ErrLost)
			return err
		})
		w.want(err, lease.ErrLost)
		if n := w.stored(id); n.AllocationUUID != "" || now(w, a).State != node.AllocationAllocating {
			w.Errorf("got %v, %+v", n.AllocationUUID, now(w, a))
		}
	})
}

// TestFreed: a write that takes the allocation away from a node deletes it.
func TestFreed(t *testing.T) {
	given := func(w *world) (id node.ID, a *node.Allocation) {
		id = w.node(node.StateActive)
		a = &node.Allocation{Name: "a", State: node.AllocationActive, NodeUUID: id}
		w.create(a)
		w.put("nodes/"+string(id), `{"driver": "fake-hardware", "provision_state": "deleting", "target_provision_state": "available", "allocation_uuid": "`+a.UUID+`"}`)
		return id, a
	}
	free := func(x *task.Exclusive) { x.Node().AllocationUUID, x.Node().Description = "", "freed" }
	for name, by := range map[string]func(context.Context, *task.Exclusive) error{
		"a save": func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Save(ctx) },
		"a transition": func(ctx context.Context, x *task.Exclusive) error {
			free(x)
			return x.ProcessEvent(ctx, node.EventFail, task.Transition{})
		},
		"the release":       func(_ context.Context, x *task.Exclusive) error { free(x); x.SaveAtEnd(); return nil },
		"the node's end":    func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Destroy(ctx) },
		"one that is saved": func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) },
		"background work": func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(_ context.Context, x *task.Exclusive) error { free(x); x.SaveAtEnd(); return nil })
			return nil
		},
	} {
		bubble(t, name, func(w *world) {
			c := w.conductor("c1")
			id, a := given(w)
			c.must(id, by)
			synctest.Wait()
			if keys := append(w.keys("allocations/"), w.keys("index/allocation-name/")...); len(keys) > 0 {
				w.Errorf("left: %v", keys)
			}
			h, g := w.history("nodes/"), w.history("allocations/")
			same(w, "revisions", g[len(g)-1].rev, h[len(h)-1].rev)
			w.free(id)
			_ = a
		})
	}
	bubble(t, "and no other write does", func(w *world) {
		c := w.conductor("c1")
		id, a := given(w)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().Description = "kept"
			return x.Save(ctx)
		})
		same(w, "allocations", len(w.keys("allocations/")), 1)
		same(w, "allocation", w.stored(id).AllocationUUID, a.UUID)
	})
	bubble(t, "one that is another node's stays", func(w *world) {
		c := w.conductor("c1")
		id, a := given(w)
		w.put("allocations/"+a.UUID, `{"state": "active", "node_uuid": "`+string(w.node(node.StateActive))+`"}`)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Save(ctx) })
		same(w, "allocations", len(w.keys("allocations/")), 1)
		same(w, "allocation", w.stored(id).AllocationUUID, "")
	})
	bubble(t, "one that is gone or cannot be read does not hinder", func(w *world) {
		c := w.conductor("c1")
		id, a := given(w)
		w.put("allocations/"+a.UUID, `{"state": 1}`)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Save(ctx) })
		same(w, "warned", c.logged("allocation left behind"), true)
		id, a = w.node(node.StateActive, func(n *node.Node) { n.AllocationUUID = uuid.NewString() }), nil
		c.must(id, func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Save(ctx) })
		same(w, "allocation", w.stored(id).AllocationUUID, "")
	})
	bubble(t, "one that gets a new name just then goes under it", func(w *world) {
		c := w.conductor("c1")
		id, a := given(w)
		var renamed bool
		w.etcd.SetNetwork("c1", leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate {
			if call.Method == "Range" && !renamed { // it has been read
				renamed = true
				b := a.Clone()
				b.Name = "b"
				change, err := w.store.Keys().Update(a, b)
				if err == nil {
					_, err = w.store.Commit(context.Background(), change)
				}
				if err != nil {
					w.Error(err)
				}
			}
			return leasetest.Fate{}
		}})
		c.must(id, func(ctx context.Context, x *task.Exclusive) error { free(x); return x.Save(ctx) })
		same(w, "renamed", renamed, true)
		same(w, "keys left", len(w.keys("allocations/"))+len(w.keys("index/allocation-name/")), 0)
	})
}
