package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// outfit gives a node one record of each kind.
func outfit(w *world, id node.ID) {
	w.create(&node.Portgroup{NodeUUID: id})
	w.create(&node.Port{NodeUUID: id, Address: "52:54:00:00:00:01"})
	w.create(&node.VolumeConnector{NodeUUID: id, Type: "iqn", ConnectorID: "iqn.2026-01.example:a"})
	w.create(&node.VolumeTarget{NodeUUID: id, VolumeType: "iscsi", VolumeID: "v1", BootIndex: new(int64)})
}

// outfitted fails unless the task has it.
func outfitted(w *world, t task.Task) {
	w.Helper()
	rs := t.Records()
	if len(rs.Ports) != 1 || len(rs.Portgroups) != 1 || len(rs.VolumeConnectors) != 1 || len(rs.VolumeTargets) != 1 {
		w.Errorf("records: %d ports, %d portgroups, %d connectors, %d targets; want one each",
			len(rs.Ports), len(rs.Portgroups), len(rs.VolumeConnectors), len(rs.VolumeTargets))
	}
}

// TestIronicLock goes by the numbers of Ironic's own tests, see docs/ironic.md.
func TestIronicLock(t *testing.T) {
	bubble(t, "01_exclusive_has_everything", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		outfit(w, id)
		before := w.etcd.RaftEntries()
		r := task.Request{Node: id, Purpose: "look", ID: "5e4a1d4e-0a3c-4f5e-8c5b-1d2f3a4b5c6d", User: "ann"}
		err := c.Exclusive(w.Context(), r, func(ctx context.Context, x *task.Exclusive) error {
			same(w, "node", x.Node().UUID, id)
			same(w, "id", x.ID(), r.ID)
			same(w, "purpose", x.Purpose(), "look")
			same(w, "state", x.Machine().State(), node.StateAvailable)
			outfitted(w, x)
			if _, err := x.Driver().Power.Get(ctx); err != nil {
				w.Error(err)
			}
			e := w.queue(id).Holders()[0]
			same(w, "holder", e.Holder, "c1")
			same(w, "task", e.Task, r.ID)
			same(w, "user", e.User, "ann")
			return x.Check()
		})
		w.want(err, nil)
		same(w, "writes", w.etcd.RaftEntries()-before, 2) // lock with records, release
		w.once(id)
	})
	bubble(t, "02_no_driver", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Driver = "gone" })
		outfit(w, id)
		err := c.Exclusive(w.Context(), task.Request{Node: id, NoDriver: true}, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), hardware.ErrNoGate)
			outfitted(w, x)
			w.want(x.LoadDriver(), hardware.ErrDriverNotFound)
			x.Node().Driver = "fake-hardware"
			w.want(x.LoadDriver(), nil)
			return x.Driver().Power.Set(ctx, node.PowerOn)
		})
		w.want(err, nil)
		same(w, "commands", len(w.bmc.Commands(id)), 1)
	})
	bubble(t, "03_nested_tasks", func(w *world) {
		c, a, b := w.conductor("c1"), w.node(""), w.node("")
		c.must(a, func(_ context.Context, x *task.Exclusive) error {
			return c.try(b, func(_ context.Context, y *task.Exclusive) error {
				same(w, "outer", x.Node().UUID, a)
				same(w, "inner", y.Node().UUID, b)
				if y.Token() <= x.Token() {
					w.Errorf("tokens %d, %d: want them to grow", x.Token(), y.Token())
				}
				return nil
			})
		})
		h := w.history("locks/")
		for i, id := range []node.ID{a, b, b, a} {
			if want := "locks/" + string(id); len(h) != 4 || h[i].key[:len(want)] != want || h[i].gone != (i > 1) {
				w.Fatalf("history %v: want a, b taken; b, a released", h)
			}
		}
	})
	bubble(t, "04_waits_for_the_lock", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		free := w.conductor("c2").hold(id)
		w.later(time.Second, free)
		start := time.Now()
		w.want(c.Exclusive(w.Context(), task.Request{Node: id, Wait: 3 * time.Second}, nothing), nil)
		same(w, "waited", time.Since(start), time.Second) // and not until the next poll
		taken, _ := w.locked(id)
		same(w, "entries", taken, 2)
	})
	bubble(t, "05_try_once", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		defer w.conductor("c2").hold(id)()
		start, before := time.Now(), w.etcd.RaftEntries()
		w.want(c.try(id, nothing), lease.ErrHeld)
		same(w, "waited", time.Since(start), 0)
		same(w, "writes", w.etcd.RaftEntries()-before, 0)
	})
	bubble(t, "06_upgrade_tries_once", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.Shared(w.Context(), in(id, "a"), func(ctx context.Context, a *task.Shared) error {
			return c.Shared(ctx, in(id, "b"), func(ctx context.Context, b *task.Shared) error {
				err := b.Upgrade(ctx, "write", 0, nothing)
				held, ok := errors.AsType[*lease.HeldError](err)
				if !ok || held.Holder().Purpose != "a" {
					w.Errorf("got %v, want that a holds it", err)
				}
				same(w, "purpose", b.Purpose(), "b")
				return errors.Join(a.Check(), b.Check()) // both go on
			})
		}), nil)
		w.free(id)
	})
	bubble(t, "07_patient", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.later(time.Hour, w.conductor("c2").hold(id))
		start := time.Now()
		w.want(c.Exclusive(w.Context(), task.Request{Node: id, Wait: lease.Patient}, nothing), nil)
		same(w, "waited", time.Since(start), time.Hour)
	})
	bubble(t, "08_never_got_it", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Driver = "gone" }) // not even looked at
		free := w.holdBare(id)
		start := time.Now()
		err := c.Exclusive(w.Context(), task.Request{Node: id, Wait: 3 * time.Second}, func(context.Context, *task.Exclusive) error {
			w.Error("it ran")
			return nil
		})
		w.want(err, lease.ErrHeld)
		same(w, "waited", time.Since(start), 3*time.Second)
		free()
		w.free(id)
	})
	corrupt(t, "exclusive", map[string]string{"09": "ports", "10": "portgroups", "11": "volume-connectors", "12": "volume-targets"})
	bubble(t, "13_driver_unknown", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Driver = "gone" })
		w.want(c.try(id, nothing), hardware.ErrDriverNotFound)
		w.once(id)
	})
	bubble(t, "22_upgrade_reads_the_state_anew", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		w.want(c.Snapshot(w.Context(), in(id, "look"), func(ctx context.Context, s *task.Snapshot) error {
			w.conductor("c2").must(id, func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, node.EventManage, task.Transition{})
			})
			same(w, "before", s.Machine().State(), node.StateAvailable)
			err := s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, node.EventProvide, task.Transition{}) // illegal from available
			})
			same(w, "after", s.Machine().State(), node.StateCleaning)
			same(w, "node after", s.Node().ProvisionState, node.StateCleaning)
			return err
		}), nil)
		same(w, "state", w.stored(id).ProvisionState, node.StateCleaning)
	})
	bubble(t, "29_own_machine", func(w *world) {
		c, a := w.conductor("c1"), w.node(node.StateCleaning, func(n *node.Node) { n.TargetProvisionState = node.StateManageable })
		b := w.node(node.StateCleaning)
		c.must(a, func(ctx context.Context, x *task.Exclusive) error {
			same(w, "target", x.Machine().Target(), node.StateManageable)
			return c.try(b, func(_ context.Context, y *task.Exclusive) error {
				same(w, "default", y.Machine().Target(), node.StateAvailable)
				w.want(x.ProcessEvent(ctx, node.EventFail, task.Transition{}), nil)
				same(w, "other machine", y.Machine().State(), node.StateCleaning)
				return nil
			})
		})
	})
	bubble(t, "30_over_is_over", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		var x *task.Exclusive
		var s *task.Shared
		var p *task.Snapshot
		c.must(id, func(_ context.Context, y *task.Exclusive) error { x = y; return nil })
		w.want(c.Shared(w.Context(), in(id, ""), func(_ context.Context, y *task.Shared) error { s = y; return nil }), nil)
		w.want(c.Snapshot(w.Context(), in(id, ""), func(_ context.Context, y *task.Snapshot) error { p = y; return nil }), nil)
		released(w, x, s, p)
		synctest.Wait()
		same(w, "commands", len(w.bmc.AllCommands()), 0)
		w.free(id)
	})
}

// released fails unless tasks that are over answer ErrReleased to everything.
func released(w *world, x *task.Exclusive, s *task.Shared, p *task.Snapshot) {
	w.Helper()
	ctx := w.Context()
	x.Node().Extra = node.Object{"late": true}
	up := func(context.Context, *task.Exclusive) error { w.Error("upgraded"); return nil }
	_, getS := s.Driver().Power.Get(ctx)
	_, getP := p.Driver().Power.Get(ctx)
	for what, err := range map[string]error{
		"check x": x.Check(), "check s": s.Check(), "check p": p.Check(),
		"save": x.Save(ctx), "event": x.ProcessEvent(ctx, node.EventManage, task.Transition{}),
		"destroy": x.Destroy(ctx), "create": x.Create(ctx, &node.Port{NodeUUID: x.Node().UUID, Address: "52:54:00:00:00:09"}),
		"power": x.Driver().Power.Set(ctx, node.PowerOn), "get s": getS, "get p": getP,
		"upgrade s": s.Upgrade(ctx, "", 0, up), "upgrade p": p.Upgrade(ctx, "", 0, up),
		"downgrade": x.Downgrade(ctx, func(context.Context, *task.Shared) error { w.Error("downgraded"); return nil }),
	} {
		if !errors.Is(err, task.ErrReleased) {
			w.Errorf("%s: got %v, want ErrReleased", what, err)
		}
	}
}

// corrupt runs, for the kinds of record of the numbers, a task beside a record written by hand:
// it begins, and the record is named. Reads cannot fail later, they came with the lock.
func corrupt(t *testing.T, right string, kinds map[string]string) {
	for number, dir := range kinds {
		bubble(t, number+"_corrupt_"+dir, func(w *world) {
			c, id := w.conductor("c1"), w.node("")
			key := dir + "/" + string(id) + "/1f0c8d4e-5a77-4a8b-9c9f-0123456789ab"
			w.put(key, "{no json")
			look := func(t task.Task) error {
				cs := t.Records().Corrupt
				if len(cs) != 1 || cs[0].Key != lease.DefaultRoot+key {
					w.Errorf("corrupt: %v, want %s", cs, key)
				}
				return nil
			}
			if right == "exclusive" {
				c.must(id, func(_ context.Context, x *task.Exclusive) error { return look(x) })
				w.once(id)
				return
			}
			before := w.etcd.RaftEntries()
			w.want(c.Snapshot(w.Context(), in(id, ""), func(_ context.Context, s *task.Snapshot) error { return look(s) }), nil)
			same(w, "writes of a snapshot", w.etcd.RaftEntries()-before, 0)
			w.want(c.Shared(w.Context(), in(id, ""), func(_ context.Context, s *task.Shared) error { return look(s) }), nil)
			w.once(id)
		})
	}
}
