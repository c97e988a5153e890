package task_test

import (
	"context"
	"errors"
	"testing"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// holdBare holds a node's lock without a task, as one whose driver cannot be composed.
func (w *world) holdBare(id node.ID) (free func()) {
	w.Helper()
	l, err := w.conductor("bare").session.Acquire(w.Context(), lease.Request{Name: string(id), Purpose: "hold"})
	if err != nil {
		w.Fatal(err)
	}
	return func() {
		if err := l.Release(w.Context(), lease.Write{}); err != nil {
			w.Fatal(err)
		}
	}
}

// TestIronicShared goes on with the numbers of tasks that only look.
func TestIronicShared(t *testing.T) {
	bubble(t, "14_shared_has_everything", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateActive)
		outfit(w, id)
		look := func(ctx context.Context, t task.Task, d *hardware.Reader) error {
			same(w, "node", t.Node().UUID, id)
			same(w, "state", t.Machine().State(), node.StateActive)
			outfitted(w, t)
			_, err := d.Power.Get(ctx)
			return errors.Join(err, t.Check())
		}
		before := w.etcd.RaftEntries()
		free := w.conductor("c2").hold(id) // a snapshot minds nobody
		writes := w.etcd.RaftEntries()
		w.want(c.Snapshot(w.Context(), in(id, ""), func(ctx context.Context, s *task.Snapshot) error {
			return look(ctx, s, s.Driver())
		}), nil)
		same(w, "writes of a snapshot", w.etcd.RaftEntries()-writes, 0)
		free()
		if w.etcd.RaftEntries() == before {
			w.Error("the holder wrote nothing: writes are not counted")
		}
		w.want(c.Shared(w.Context(), in(id, "a"), func(ctx context.Context, s *task.Shared) error {
			w.want(c.try(id, nothing), lease.ErrHeld) // a shared lock is one
			return c.Shared(ctx, in(id, "b"), func(ctx context.Context, b *task.Shared) error {
				return errors.Join(look(ctx, s, s.Driver()), look(ctx, b, b.Driver()))
			})
		}), nil)
		w.free(id)
	})
	bubble(t, "15_node_unknown", func(w *world) {
		c := w.conductor("c1")
		before := w.etcd.RaftEntries()
		r := in("7d0c8d4e-5a77-4a8b-9c9f-0123456789ab", "")
		w.want(c.Snapshot(w.Context(), r, func(context.Context, *task.Snapshot) error { return nil }), node.ErrNotFound)
		same(w, "writes", w.etcd.RaftEntries()-before, 0)
		w.want(c.Shared(w.Context(), r, func(context.Context, *task.Shared) error { return nil }), node.ErrNotFound)
		w.want(c.Exclusive(w.Context(), r, nothing), node.ErrNotFound)
		same(w, "left in etcd", len(w.keys("locks/"))+len(w.keys("intents/")), 0)
		for _, bad := range []node.ID{"", "r1-u01", "../x"} { // names are looked up before
			w.want(c.Exclusive(w.Context(), in(bad, ""), nothing), node.ErrInvalid)
		}
	})
	corrupt(t, "shared", map[string]string{"16": "ports", "17": "portgroups", "18": "volume-connectors", "19": "volume-targets"})
	bubble(t, "20_driver_unknown", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Driver = "gone" })
		w.want(c.Shared(w.Context(), in(id, ""), func(context.Context, *task.Shared) error { return nil }), hardware.ErrDriverNotFound)
		w.once(id)
		before := w.etcd.RaftEntries()
		w.want(c.Snapshot(w.Context(), in(id, ""), func(context.Context, *task.Snapshot) error { return nil }), hardware.ErrDriverNotFound)
		same(w, "writes of a snapshot", w.etcd.RaftEntries()-before, 0)
	})
	bubble(t, "21_upgrade", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.Shared(w.Context(), in(id, "ham"), func(ctx context.Context, s *task.Shared) error {
			var first *task.Exclusive
			err := s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				first = x
				same(w, "purpose kept", x.Purpose(), "ham")
				same(w, "id kept", x.ID(), s.ID())
				if x.Token() <= 0 {
					w.Error("no token")
				}
				w.want(c.Shared(ctx, in(id, "beside"), func(context.Context, *task.Shared) error { return nil }), lease.ErrHeld)
				if err := s.Upgrade(ctx, "spam", 0, nothing); err == nil {
					w.Error("upgrades nest: the end of the inner one would end the outer one's right")
				}
				return x.Check()
			})
			w.want(first.Check(), task.ErrReleased)
			w.want(err, nil)
			w.want(c.Shared(ctx, in(id, "beside"), func(context.Context, *task.Shared) error { return nil }), nil)
			err = s.Upgrade(ctx, "spam", 0, func(_ context.Context, x *task.Exclusive) error {
				same(w, "new purpose", x.Purpose(), "spam")
				same(w, "shown", w.queue(id).Holders()[0].Purpose, "spam")
				return nil
			})
			same(w, "purpose stays", s.Purpose(), "spam")
			return err
		}), nil)
		w.free(id)
	})
}
