package task_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestSave(t *testing.T) {
	bubble(t, "only what changed, signed by the holder", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.Save(ctx), nil)
			same(w, "writes", len(w.history("nodes/")), 1)
			x.Node().Description = "a"
			w.want(x.Save(ctx), nil)
			x.SaveAtEnd()
			by := w.stored(id).WrittenBy
			if by == nil || by.Token != int64(x.Token()) {
				w.Errorf("written by %+v, want token %d", by, x.Token())
			}
			return nil
		})
		same(w, "writes", len(w.history("nodes/")), 2)
	})
	bubble(t, "with the release it costs nothing extra", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		before := w.etcd.RaftEntries()
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SaveAtEnd()
			return x.Driver().Power.Set(ctx, node.PowerOn)
		})
		same(w, "writes", w.etcd.RaftEntries()-before, 2)
		n := w.stored(id)
		same(w, "power", n.PowerState, node.PowerOn)
		h := w.history("locks/")
		same(w, "revision", n.Revision, h[len(h)-1].rev)
	})
	bubble(t, "a node with much that belongs to it comes in one request, and goes in one", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		for i := range int64(8) {
			w.create(&node.Port{NodeUUID: id, Address: fmt.Sprintf("52:54:00:00:00:%02x", i)})
			if i < 2 {
				w.create(&node.Portgroup{NodeUUID: id})
				w.create(&node.VolumeConnector{NodeUUID: id, Type: "iqn", ConnectorID: fmt.Sprint("iqn.2026-01.example:", i)})
				w.create(&node.VolumeTarget{NodeUUID: id, VolumeType: "iscsi", VolumeID: "v", BootIndex: &i})
			}
		}
		c.must(id, nothing) // the session's first lock needs a lease of its own
		synctest.Wait()     // and who has not yet seen its end looks first
		var mu sync.Mutex
		var sent []string
		w.etcd.SetNetwork("c1", leasetest.Network{Request: func(call leasetest.Call) leasetest.Fate {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, call.Method)
			return leasetest.Fate{}
		}})
		count := func() string {
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(sent, " ")
		}
		before := w.etcd.RaftEntries()
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			same(w, "acquired with", count(), "Txn")
			rs := x.Records()
			same(w, "records", len(rs.Ports)*1000+len(rs.Portgroups)*100+len(rs.VolumeConnectors)*10+len(rs.VolumeTargets), 8222)
			x.Node().Name = "r1"
			x.SaveAtEnd()
			return nil
		})
		same(w, "all in all", count(), "Txn Txn")
		same(w, "raft entries", w.etcd.RaftEntries()-before, 2)
		same(w, "saved", w.stored(id).Name, "r1")
	})
	bubble(t, "a value that is taken leaves the lock and the record", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.node("", func(n *node.Node) { n.Name = "r1" })
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().Name = "r1"
			w.want(x.Save(ctx), node.ErrDuplicate)
			w.want(x.ProcessEvent(ctx, node.EventManage, task.Transition{}), node.ErrDuplicate)
			same(w, "state", x.Machine().State(), node.StateEnroll)
			x.Node().Name = "r 2"
			w.want(x.Save(ctx), node.ErrInvalid)
			x.Node().Name = "r2"
			return x.Save(ctx)
		})
		w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SaveAtEnd()
			x.Node().Name = "r1"
			return nil
		}), node.ErrDuplicate)
		same(w, "name", w.stored(id).Name, "r2")
		same(w, "queue", len(w.queue(id).Entries), 0)
	})
	bubble(t, "background work whose record cannot be saved", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Name = "r1" })
		c.background(id, "rename", func(_ context.Context, x *task.Exclusive) error {
			x.SaveAtEnd()
			x.Node().Name = "no name"
			return nil
		})
		n := w.stored(id)
		same(w, "name", n.Name, "r1")
		if n.LastError == "" {
			w.Error("no last error")
		}
		w.free(id)
	})
	bubble(t, "garbage in the place of the node", func(w *world) {
		c, id := w.conductor("c1"), node.ID("7d0c8d4e-5a77-4a8b-9c9f-0123456789ab")
		w.put("nodes/"+string(id), "by hand")
		w.want(c.try(id, nothing), node.ErrCorrupt)
		w.once(id)
		w.want(c.Shared(w.Context(), in(id, ""), nil), node.ErrCorrupt)
		w.want(c.Snapshot(w.Context(), in(id, ""), nil), node.ErrCorrupt)
		w.free(id)
	})
	bubble(t, "a state by hand that no machine knows", func(w *world) {
		c, id := w.conductor("c1"), node.ID("7d0c8d4e-5a77-4a8b-9c9f-0123456789ab")
		w.put("nodes/"+string(id), `{"driver":"fake-hardware","provision_state":"on fire"}`)
		w.want(c.try(id, nothing), node.ErrInvalidState)
		w.once(id)
	})
	bubble(t, "the node's uuid may be in capitals", func(w *world) {
		c, id := w.conductor("c1"), node.ID("7d0c8d4e-5a77-4a8b-9c9f-0123456789ab")
		w.create(&node.Node{UUID: id, Driver: "fake-hardware"})
		c.must("7D0C8D4E-5A77-4A8B-9C9F-0123456789AB", func(_ context.Context, x *task.Exclusive) error {
			same(w, "holders", len(w.queue(id).Holders()), 1)
			return nil
		})
	})
}

func TestRecords(t *testing.T) {
	bubble(t, "come and go under the lock", func(w *world) {
		c, id, other := w.conductor("c1"), w.node(""), w.node("")
		mac := func(n int) string { return fmt.Sprintf("52:54:00:00:00:%02x", n) }
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().Description = "not saved yet"
			p := &node.Port{NodeUUID: id, Address: mac(1)}
			w.want(x.Create(ctx, p), nil)
			w.want(x.Create(ctx, &node.Port{NodeUUID: id, Address: mac(1)}), node.ErrDuplicate)
			same(w, "ports", len(x.Records().Ports), 1)
			same(w, "description", x.Node().Description, "not saved yet")
			p = x.Records().Ports[0].Clone()
			p.Address = mac(2)
			w.want(x.Update(ctx, x.Records().Ports[0], p), nil)
			same(w, "address", x.Records().Ports[0].Address, mac(2))

			theirs := &node.Port{NodeUUID: other, Address: mac(3)}
			for what, err := range map[string]error{
				"create": x.Create(ctx, theirs), "delete": x.Delete(ctx, theirs),
				"update": x.Update(ctx, x.Records().Ports[0], theirs), "node": x.Update(ctx, x.Node(), x.Node().Clone()),
			} {
				if err == nil {
					w.Errorf("%s: done to another node under this lock", what)
				}
			}
			w.want(x.Save(ctx), nil)
			return x.Delete(ctx, x.Records().Ports[0])
		})
		same(w, "ports", len(w.keys("ports/"))+len(w.keys("index/")), 0)
	})
	bubble(t, "all go with the node, and those who wait are told", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node(node.StateAvailable, func(n *node.Node) { n.Name = "r1" })
		outfit(w, id)
		other := "events/7d0c8d4e-5a77-4a8b-9c9f-0123456789ab/x"
		w.put(other, "{}")
		w.want(a.try(id, func(ctx context.Context, _ *task.Exclusive) error { // a break leaves a mark and an event
			w.breakLock(id)
			<-ctx.Done()
			return nil
		}), lease.ErrLost)
		waiters := make(chan error, 2)
		a.must(id, func(ctx context.Context, x *task.Exclusive) error {
			go func() { waiters <- b.Exclusive(w.Context(), task.Request{Node: id, Wait: lease.Patient}, nil) }()
			go func() { waiters <- b.Shared(w.Context(), task.Request{Node: id, Wait: lease.Patient}, nil) }()
			synctest.Wait()
			w.want(x.ProcessEvent(ctx, node.EventManage, task.Transition{}), nil)
			same(w, "events", len(w.keys("events/"+string(id))), 3) // broken, lost, and this one
			w.want(x.Destroy(ctx), nil)
			w.want(x.Check(), task.ErrReleased)
			return nil
		})
		w.want(<-waiters, node.ErrNotFound)
		w.want(<-waiters, node.ErrNotFound)
		for _, k := range w.keys("") {
			if k != "meta/schema" && k[:10] != "conductors" && k != other && !strings.HasPrefix(k, "events/none/") {
				w.Errorf("left behind: %s", k)
			}
		}
		gone := w.events("none")
		if len(gone) != 1 || gone[0].Type != "baremetal.node.delete.end" || gone[0].Node != id || gone[0].Name != "r1" {
			w.Errorf("what remains: %+v", gone)
		}
	})
	bubble(t, "a node without a driver can go", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Driver = "gone" })
		w.want(c.Exclusive(w.Context(), task.Request{Node: id, NoDriver: true}, func(ctx context.Context, x *task.Exclusive) error {
			return x.Destroy(ctx)
		}), nil)
		same(w, "nodes", len(w.keys("nodes/")), 0)
	})
	bubble(t, "a name that was not saved is not freed with the node", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Name = "mine" })
		other := w.node("", func(n *node.Node) { n.Name = "theirs" })
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().Name = "theirs"
			return x.Destroy(ctx)
		})
		if keys := w.keys("index/"); len(keys) != 1 || keys[0] != "index/node-name/theirs" {
			w.Errorf("index: %v, want the name of %s and no other", keys, other)
		}
	})
	bubble(t, "a port that came without a lock is not orphaned", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			w.create(&node.Port{NodeUUID: id, Address: "52:54:00:00:00:01"})
			x.Node().Description = "a later revision"
			w.want(x.Save(ctx), nil)
			return x.Destroy(ctx)
		}), node.ErrStale)
		same(w, "nodes", len(w.keys("nodes/")), 1)
		same(w, "queue", len(w.queue(id).Entries), 0)
	})
	bubble(t, "a node with work to come stays", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SpawnAfter("", nothing)
			if err := x.Destroy(ctx); err == nil {
				w.Error("destroyed, and the work would be forgotten")
			}
			return nil
		})
		synctest.Wait()
		w.free(id)
	})
}

func TestEvents(t *testing.T) {
	bubble(t, "stand at the revision of the state", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventManage, task.Transition{})
		})
		h := w.history("events/")
		if len(h) != 1 || h[0].rev != w.stored(id).Revision {
			w.Errorf("events %+v, want one at revision %d", h, w.stored(id).Revision)
		}
	})
	bubble(t, "go when they are old", func(w *world) {
		c, id := w.conductor("c1", func(c *task.Config) { c.History = 24 * time.Hour }), w.node(node.StateAvailable)
		at := func(ago time.Duration) string {
			ms := fmt.Sprintf("%012x", time.Now().Add(-ago).UnixMilli())
			return "events/" + string(id) + "/" + ms[:8] + "-" + ms[8:] + "-7000-8000-000000000000"
		}
		old, young := at(25*time.Hour), at(23*time.Hour)
		other := "events/7d0c8d4e-5a77-4a8b-9c9f-0123456789ab/" + old[len(old)-36:]
		for _, k := range []string{old, young, other} {
			w.put(k, "{}")
		}
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventManage, task.Transition{})
		})
		left := map[string]bool{}
		for _, k := range w.keys("events/") {
			left[k] = true
		}
		if left[old] || !left[young] || !left[other] || len(left) != 3 {
			w.Errorf("left: %v", left)
		}
	})
	bubble(t, "a subscriber that panics harms nobody", func(w *world) {
		c := w.conductor("c1", crowded, func(c *task.Config) {
			c.Notify = func(context.Context, task.Notification) { panic("subscriber") }
		})
		id := w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, node.EventDone, task.Transition{})
			}})
		})
		synctest.Wait()
		same(w, "state", w.stored(id).ProvisionState, node.StateActive)
		w.free(id)
		c.fill()()
	})
	bubble(t, "of two transitions with work both are told, in order", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: nothing}), nil)
			return x.ProcessEvent(ctx, node.EventWait, task.Transition{Work: nothing})
		})
		synctest.Wait()
		order(w, c, node.EventDeploy, node.EventWait)
		c.fill()()
	})
}
