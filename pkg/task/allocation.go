package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

// retries is how often a write is made anew that failed because the allocation which goes with it
// was given another name meanwhile, say.
const retries = 3

// freed is the change that deletes the allocation of a node which does not point to it any more:
// no write parts the two, whoever makes it and for whatever reason. A node that is deleted takes
// its allocation along; now is nil then.
//
// Ironic: destroy_allocation, destroy_node.
func (x *Exclusive) freed(ctx context.Context, now *node.Node) ([]node.Change, error) {
	ctx, stop := x.fence.Bind(context.WithoutCancel(ctx))
	defer stop()
	return x.m.freed(ctx, x.saved, now)
}

func (m *Manager) freed(ctx context.Context, old, now *node.Node) ([]node.Change, error) {
	id := old.AllocationUUID
	if id == "" || now != nil && now.AllocationUUID == id {
		return nil, nil
	}
	a, err := node.NewStore(m.cfg.Client, m.cfg.Root).Allocation(ctx, id)
	switch {
	case errors.Is(err, node.ErrNotFound), err == nil && a.NodeUUID != old.UUID:
		return nil, nil // there is none, or it is another node's
	case errors.Is(err, node.ErrCorrupt):
		m.cfg.Logger.WarnContext(ctx, "allocation left behind", "node", old.UUID, "err", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("free node %s: %w", old.UUID, err)
	}
	c, err := m.keys.Delete(nil, a)
	if err != nil {
		return nil, err
	}
	return []node.Change{c}, nil
}

// outrun reports whether a write failed because the allocation that was to go with it changed.
func outrun(err error) bool {
	missing, ok := errors.AsType[*node.NotFoundError](err)
	return errors.Is(err, node.ErrStale) || ok && missing.Kind == node.KindAllocation
}
