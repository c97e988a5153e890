package api

import (
	"context"
	"net/http"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// patch is PATCH of a record that belongs to a node, under the lock of the node,
// and when it goes to another node, of that one too.
//
// Ironic: the patch methods of PortsController and the like, and update_port,
// update_portgroup, update_volume_connector and update_volume_target.
func (s *resource[R]) patch(ctx context.Context, c *call) error {
	e, err := s.edit(c)
	if err != nil {
		return err
	}
	if ref := c.r.PathValue("ref"); !node.IsUUID(ref) && s.names == 0 {
		return invalid("uuid", "Expected a UUID but received %s.", cut(ref, 64))
	}
	found, err := s.one(ctx, c)
	if err != nil {
		return err
	}
	from, err := c.cfg.Store.Records(ctx, node.Of(found))
	if err != nil {
		return err
	}
	done, to, err := s.tryPatch(ctx, c, found, e, from, nil)
	if err != nil && !c.mayChange(ctx, from.Node.UUID, err) {
		return asInput(err, found)
	}
	if err != nil {
		to = from.Node.UUID
	}
	err = c.both(ctx, from.Node.UUID, to, string(s.kind)+" update", func(ctx context.Context, from, to *task.Exclusive) error {
		old, err := underLock(from.Records(), found)
		if err != nil {
			return err
		}
		var target node.ID
		done, target, err = s.tryPatch(ctx, c, old.(R), e, from.Records(), to.Records())
		switch {
		case err != nil:
			return err
		case target != to.Node().UUID:
			return refuse(node.ErrStale, "The %s %s has changed meanwhile. Please try again.", s.kind, found.ID())
		case from != to:
			return to.Move(ctx, from, old, done)
		case s.same(old.(R), done):
			return nil
		}
		return to.Update(ctx, old, done)
	})
	if err != nil {
		return asInput(err, found)
	}
	return c.json(http.StatusOK, s.render(&view{call: c}, done, s.visible(c.v)))
}

// both runs a short task with the exclusive locks of two nodes, which may be one.
// They are taken in the order of their uuids, so that no two wait for each other.
func (c *call) both(ctx context.Context, from, to node.ID, purpose string, fn func(ctx context.Context, from, to *task.Exclusive) error) error {
	if from == to {
		return c.exclusive(ctx, from, purpose, func(ctx context.Context, x *task.Exclusive) error { return fn(ctx, x, x) })
	}
	start := time.Now()
	return c.exclusive(ctx, min(from, to), purpose, func(ctx context.Context, first *task.Exclusive) error {
		rest := *c
		rest.wait = max(0, c.wait-time.Since(start))
		return rest.exclusive(ctx, max(from, to), purpose, func(ctx context.Context, second *task.Exclusive) error {
			if from < to {
				return fn(ctx, first, second)
			}
			return fn(ctx, second, first)
		})
	})
}

// tryPatch answers the record that the patch makes of old and the node to which
// it then belongs, or why it may not. If the records of that node are not given,
// they are read.
func (s *resource[R]) tryPatch(ctx context.Context, c *call, old R, e edit, from, to *node.Records) (R, node.ID, error) {
	var none R
	fail := func(err error) (R, node.ID, error) { return none, "", err }
	r, changed, err := s.amend(old, e)
	if err != nil {
		return fail(err)
	}
	target := from.Node.UUID
	if changed["node_uuid"] {
		ref := string(node.Of(r))
		if (s.kind == node.KindVolumeConnector || s.kind == node.KindVolumeTarget) && !node.IsUUID(ref) {
			return fail(invalid("node_uuid", "Expected a UUID for node_uuid, but received %s.", cut(ref, 64)))
		}
		id, err := c.known(ctx, "node_uuid", ref)
		if err != nil {
			return fail(err)
		}
		target = node.ID(id)
		setParent(r, target)
	}
	switch {
	case target == from.Node.UUID:
		to = from
		delete(changed, "node_uuid")
	case to == nil || to.Node.UUID != target:
		if to, err = c.cfg.Store.Records(ctx, target); err != nil {
			return fail(err)
		}
	}
	for _, rs := range []*node.Records{from, to} {
		if err := mayAmend(rs, old, r, changed, c.v); err != nil {
			return fail(err)
		}
	}
	if _, err := c.cfg.Store.Keys().Move(from, old, s.clone(r)); err != nil { // its rules, before anybody waits
		return fail(err)
	}
	return r, target, nil
}

// same says whether nothing that a patch may change differs.
func (s *resource[R]) same(a, b R) bool {
	for name, col := range s.columns {
		if col.patch && !equal(s.value(a, name), s.value(b, name)) {
			return false
		}
	}
	return true
}

func setParent(r node.Record, id node.ID) {
	switch r := r.(type) {
	case *node.Port:
		r.NodeUUID = id
	case *node.Portgroup:
		r.NodeUUID = id
	case *node.VolumeConnector:
		r.NodeUUID = id
	case *node.VolumeTarget:
		r.NodeUUID = id
	}
}
