package task_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// describe is an edit that also tells of it, and counts how often it runs.
func describe(text string, runs *int) func(context.Context, task.Edit) error {
	return func(_ context.Context, e task.Edit) error {
		*runs++
		e.Node().Description = text
		e.Tell(task.Told(e.Node(), task.Updated))
		return nil
	}
}

func TestEditWithoutALock(t *testing.T) {
	bubble(t, "one write", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		before := w.etcd.RaftEntries()
		w.want(c.Edit(w.Context(), task.Request{Node: id, User: "ann"}, describe("left", &runs)), nil)
		same(w, "raft entries", w.etcd.RaftEntries()-before, 1)
		n := w.stored(id)
		same(w, "description", n.Description, "left")
		same(w, "without a lock", lease.IsFree(n.WrittenBy.Ticket), true)
		e := w.events(string(id))[0]
		same(w, "revision of the event", e.rev, n.Revision)
		same(w, "token", int64(e.Token), n.WrittenBy.Token)
		same(w, "user", e.User, "ann")
		same(w, "publisher", e.Publisher, "c1")
		same(w, "told", c.told()[0], e.Notification)
		same(w, "runs", runs, 1)
		w.free(id)
	})
	bubble(t, "nothing to write", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		before := w.etcd.RaftEntries()
		w.want(c.Edit(w.Context(), in(id, ""), func(context.Context, task.Edit) error { return nil }), nil)
		w.want(c.Edit(w.Context(), in(id, ""), func(_ context.Context, e task.Edit) error {
			e.Node().Description = "given up"
			return errBody
		}), errBody)
		same(w, "raft entries", w.etcd.RaftEntries()-before, 0)
		same(w, "description", w.stored(id).Description, "")
	})
	bubble(t, "what is refused is not tried again", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		w.node("", func(n *node.Node) { n.Name = "taken" })
		err := c.Edit(w.Context(), in(id, ""), func(_ context.Context, e task.Edit) error {
			runs++
			e.Node().Name = "taken"
			return nil
		})
		w.want(err, node.ErrDuplicate)
		same(w, "runs", runs, 1)
		same(w, "told", len(c.told())+len(w.keys("events/")), 0)
	})
	bubble(t, "the allocation goes with the node", func(w *world) {
		c, a := w.conductor("c1"), &node.Allocation{ResourceClass: "baremetal"}
		w.create(a)
		id := w.node(node.StateAvailable, func(n *node.Node) { n.AllocationUUID = a.UUID })
		b := a.Clone()
		b.State, b.NodeUUID = node.AllocationActive, id
		change, err := w.store.Keys().Update(a, b)
		w.want(err, nil)
		_, err = w.store.Commit(w.Context(), change)
		w.want(err, nil)
		w.want(c.Edit(w.Context(), in(id, ""), func(_ context.Context, e task.Edit) error {
			e.Node().AllocationUUID = ""
			return nil
		}), nil)
		_, err = w.store.Allocation(w.Context(), a.UUID)
		w.want(err, node.ErrNotFound)
	})
	bubble(t, "no such node", func(w *world) {
		c, runs := w.conductor("c1"), 0
		w.want(c.Edit(w.Context(), in("aaaaaaaa-0000-0000-0000-000000000000", ""), describe("x", &runs)), node.ErrNotFound)
		same(w, "runs", runs, 0)
	})
}

func TestEditTakesTheLock(t *testing.T) {
	// locked fails unless the node was written once, under a lock, and told of once.
	locked := func(w *world, c *conductor, id node.ID, text string) {
		w.Helper()
		n := w.stored(id)
		same(w, "description", n.Description, text)
		same(w, "without a lock", lease.IsFree(n.WrittenBy.Ticket), false)
		same(w, "events", len(w.events(string(id))), 1)
		same(w, "told", len(c.told()), 1)
		w.free(id)
	}
	bubble(t, "held", func(w *world) {
		c, other, id, runs := w.conductor("c1"), w.conductor("c2"), w.node(""), 0
		free := other.hold(id)
		w.want(c.Edit(w.Context(), in(id, ""), describe("left", &runs)), lease.ErrHeld)
		same(w, "runs", runs, 0)
		w.later(time.Second, free)
		r := in(id, "")
		r.Wait = lease.Patient
		w.want(c.Edit(w.Context(), r, describe("left", &runs)), nil)
		same(w, "runs", runs, 1)
		locked(w, c, id, "left")
	})
	bubble(t, "taken meanwhile", func(w *world) {
		c, other, id, runs := w.conductor("c1"), w.conductor("c2"), w.node(""), 0
		r := in(id, "")
		r.Wait = lease.Patient
		w.want(c.Edit(w.Context(), r, func(ctx context.Context, e task.Edit) error {
			if runs == 0 {
				w.later(time.Second, other.hold(id))
			}
			if x, ok := e.(*task.Exclusive); ok && len(w.keys("intents/")) > 0 {
				w.Errorf("an intent for %s", x.Purpose())
			}
			return describe("left", &runs)(ctx, e)
		}), nil)
		same(w, "runs", runs, 2)
		locked(w, c, id, "left")
	})
	bubble(t, "changed meanwhile", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		w.want(c.Edit(w.Context(), in(id, ""), func(ctx context.Context, e task.Edit) error {
			if runs == 0 {
				w.put("nodes/"+string(id), `{"driver":"fake-hardware","provision_state":"enroll","name":"by-hand"}`)
			}
			return describe("left of "+e.Node().Name, &runs)(ctx, e)
		}), nil)
		same(w, "runs", runs, 2)
		locked(w, c, id, "left of by-hand")
	})
	bubble(t, "told of nothing new", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		revision := w.stored(id).Revision
		w.want(c.Edit(w.Context(), in(id, ""), describe("", &runs)), nil)
		same(w, "runs", runs, 2)
		same(w, "events", len(w.events(string(id))), 1)
		same(w, "revision", w.stored(id).Revision, revision)
	})
	bubble(t, "abandoned", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		w.put("intents/"+string(id), lease.Intent{Holder: "c2", Purpose: "deploy"}.String())
		w.want(c.Edit(w.Context(), in(id, ""), func(ctx context.Context, e task.Edit) error {
			same(w, "abandoned", e.Abandoned().Purpose, "deploy")
			return describe("left", &runs)(ctx, e)
		}), nil)
		same(w, "intents", len(w.keys("intents/")), 1)
		w.want(c.Edit(w.Context(), in(id, ""), func(_ context.Context, e task.Edit) error { e.Settle(); return nil }), nil)
		locked(w, c, id, "left")
	})
	bubble(t, "closed", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		w.want(c.Close(w.Context()), nil)
		w.want(c.Edit(w.Context(), in(id, ""), describe("left", &runs)), task.ErrClosed)
	})
}

// An edit that is under way ends neither with its caller nor with its manager's patience, and is
// told once although it was sent twice.
func TestEditOutlivesItsCaller(t *testing.T) {
	bubble(t, "answer lost", func(w *world) {
		c, id, runs := w.conductor("c1"), w.node(""), 0
		ctx, cancel := context.WithCancel(w.Context())
		w.want(c.Edit(ctx, in(id, ""), func(ctx context.Context, e task.Edit) error {
			var sent atomic.Bool
			w.etcd.SetNetwork("c1", leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate {
				r, ok := call.Request.(*pb.TxnRequest)
				return leasetest.Fate{Lost: ok && len(r.Compare) > 0 && !sent.Swap(true)}
			}})
			cancel()
			return describe("left", &runs)(ctx, e)
		}), nil)
		synctest.Wait()
		same(w, "description", w.stored(id).Description, "left")
		same(w, "events", len(w.events(string(id))), 1)
		same(w, "told", len(c.told()), 1)
		same(w, "runs", runs, 1)
	})
}
