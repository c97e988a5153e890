package task_test

import (
	"context"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestMove(t *testing.T) {
	type pair struct{ from, to *task.Exclusive }
	// both runs fn with the locks of two nodes, of which the first has a port.
	both := func(w *world, fn func(context.Context, pair, *node.Port) error) error {
		c, a, b := w.conductor("c1"), w.node(""), w.node("")
		w.create(&node.Port{NodeUUID: a, Address: "52:54:00:00:00:01"})
		return c.try(a, func(ctx context.Context, from *task.Exclusive) error {
			return c.try(b, func(ctx context.Context, to *task.Exclusive) error {
				return fn(ctx, pair{from, to}, from.Records().Ports[0])
			})
		})
	}
	moved := func(p *node.Port, to *task.Exclusive) *node.Port {
		c := p.Clone()
		c.NodeUUID = to.Node().UUID
		return c
	}
	bubble(t, "under both locks", func(w *world) {
		err := both(w, func(ctx context.Context, p pair, port *node.Port) error {
			if err := p.to.Move(ctx, p.from, port, moved(port, p.to)); err != nil {
				return err
			}
			same(w, "ports left", len(p.from.Records().Ports), 0)
			same(w, "ports there", len(p.to.Records().Ports), 1)
			got, err := w.store.Port(ctx, port.Address)
			if err != nil {
				return err
			}
			same(w, "node", got.NodeUUID, p.to.Node().UUID)
			return nil
		})
		w.want(err, nil)
	})
	bubble(t, "not when the lock of the node that it leaves is broken", func(w *world) {
		err := both(w, func(ctx context.Context, p pair, port *node.Port) error {
			w.deaf("c1") // so that only etcd can refuse
			w.breakLock(p.from.Node().UUID)
			err := p.to.Move(ctx, p.from, port, moved(port, p.to))
			if err == nil {
				t.Error("moved without a lock")
			}
			got, err := w.store.Port(w.Context(), port.Address)
			if err != nil {
				return err
			}
			same(w, "node", got.NodeUUID, p.from.Node().UUID)
			return nil
		})
		w.want(err, lease.ErrLost)
	})
	bubble(t, "not a record of a third node, nor a portgroup with ports", func(w *world) {
		err := both(w, func(ctx context.Context, p pair, port *node.Port) error {
			if err := p.from.Move(ctx, p.to, port, moved(port, p.to)); err == nil {
				t.Error("moved the wrong way round")
			}
			g := &node.Portgroup{NodeUUID: p.from.Node().UUID}
			if err := p.from.Create(ctx, g); err != nil {
				return err
			}
			in := port.Clone()
			in.PortgroupUUID = g.UUID
			if err := p.from.Update(ctx, port, in); err != nil {
				return err
			}
			g = p.from.Records().Portgroups[0]
			there := g.Clone()
			there.NodeUUID = p.to.Node().UUID
			w.want(p.to.Move(ctx, p.from, g, there), node.ErrInUse)
			return nil
		})
		w.want(err, nil)
	})
}
