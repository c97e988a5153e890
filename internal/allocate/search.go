package allocate

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Purposes of the tasks of this package. None of them commands a machine.
const (
	Purpose         = "allocating"
	PurposeBackfill = "allocation backfilling"
	PurposeDelete   = "allocation deletion"
)

// run works on an allocation until it has a node, has failed, is not ours any
// more, or the allocator is closed. A trouble with etcd or the session is no
// failure of the allocation.
func (a *Allocator) run(ctx context.Context, al *node.Allocation) {
	for {
		err := a.search(ctx, al)
		if errors.Is(err, ErrFailed) {
			a.cfg.Logger.ErrorContext(ctx, "allocation failed", "allocation", al.UUID, "err", err)
			err = a.fail(ctx, al, err)
		}
		if err == nil || errors.Is(err, errOver) || ctx.Err() != nil {
			return
		}
		a.cfg.Logger.WarnContext(ctx, "allocation is tried again", "allocation", al.UUID, "wait", trouble, "err", err)
		if pause(ctx, trouble) != nil {
			return
		}
		fresh, err := a.reload(ctx, al)
		if errors.Is(err, errOver) {
			return
		}
		if err == nil {
			al = fresh
		}
	}
}

// search goes through the nodes that fit, at most three times: nil means that the
// allocation has one. An allocation that changes meanwhile, by a new name perhaps,
// is read again.
func (a *Allocator) search(ctx context.Context, al *node.Allocation) error {
	ids, err := a.candidates(ctx, al)
	if err != nil {
		return err
	}
	for round := range rounds {
		if round > 0 {
			if err := pause(ctx, a.cfg.Retry); err != nil {
				return err
			}
		}
		var again []node.ID
		for _, id := range ids {
			err := a.give(ctx, al, id)
			switch missing, _ := errors.AsType[*node.NotFoundError](err); {
			case err == nil:
				a.cfg.Logger.InfoContext(ctx, "allocated", "allocation", al.UUID, "node", id)
				return nil
			case errors.Is(err, lease.ErrHeld):
				again = append(again, id)
			case errors.Is(err, node.ErrStale):
				if al, err = a.reload(ctx, al); err != nil {
					return err
				}
				again = append(again, id)
			case missing != nil && missing.Kind == node.KindAllocation:
				return errOver
			case errors.Is(err, errUnfit), missing != nil:
			case errors.Is(err, node.ErrCorrupt), errors.Is(err, node.ErrInvalid), errors.Is(err, node.ErrInvalidState):
				a.cfg.Logger.WarnContext(ctx, "node passed over", "allocation", al.UUID, "node", id, "err", err)
			case errors.Is(err, node.ErrDuplicate): // a node was given this instance by hand
				return failed(al, "%v", err)
			default:
				return err
			}
		}
		if ids = again; len(ids) == 0 {
			return failed(al, "the nodes that fitted are taken or changed meanwhile")
		}
	}
	return failed(al, "all %d nodes that fit are locked", len(ids))
}

// reload reads an allocation again, to go on with it.
func (a *Allocator) reload(ctx context.Context, al *node.Allocation) (*node.Allocation, error) {
	fresh, err := a.cfg.Store.Allocation(ctx, al.UUID)
	switch {
	case errors.Is(err, node.ErrNotFound):
		return nil, errOver
	case err != nil:
		return nil, err
	case fresh.State != node.AllocationAllocating || fresh.ConductorAffinity != a.cfg.Host:
		return nil, errOver
	}
	return fresh, nil
}

// fail stores why an allocation gets no node.
func (a *Allocator) fail(ctx context.Context, al *node.Allocation, why error) error {
	for {
		updated := al.Clone()
		updated.State, updated.LastError = node.AllocationError, why.Error()
		err := a.write(ctx, al, updated)
		if !errors.Is(err, node.ErrStale) && !errors.Is(err, node.ErrNotFound) {
			return err
		}
		if al, err = a.reload(ctx, al); err != nil {
			return err
		}
	}
}

// candidates are the nodes that fit, in random order, so that allocations that
// run side by side do not all try the same. A node of the allocation's own name
// comes first.
func (a *Allocator) candidates(ctx context.Context, al *node.Allocation) ([]node.ID, error) {
	page, err := a.cfg.Store.Nodes(ctx, node.ListRequest[*node.Node]{Match: func(n *node.Node) bool {
		return free(n) && fits(n, al)
	}})
	if err != nil {
		return nil, err
	}
	nodes := page.Items
	if len(nodes) == 0 {
		which := "no node"
		if len(al.CandidateNodes) > 0 {
			which = "none of the candidate nodes"
		}
		return nil, failed(al, "%s of resource class %q is available", which, al.ResourceClass)
	}
	nodes = slices.DeleteFunc(nodes, func(n *node.Node) bool { return !hasTraits(n, al) })
	if len(nodes) == 0 {
		return nil, failed(al, "no available node of resource class %q has the traits %s", al.ResourceClass, strings.Join(al.Traits, ", "))
	}
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	if at := slices.IndexFunc(nodes, func(n *node.Node) bool { return al.Name != "" && n.Name == al.Name }); at > 0 {
		nodes[0], nodes[at] = nodes[at], nodes[0]
	}
	ids := make([]node.ID, len(nodes))
	for i, n := range nodes {
		ids[i] = n.UUID
	}
	return ids, nil
}

// free says whether nobody has the node and it may be given away. Children are
// parts of other nodes.
func free(n *node.Node) bool {
	return n.ProvisionState == node.StateAvailable && !n.Maintenance && n.InstanceUUID == "" && n.AllocationUUID == "" && n.ParentNode == ""
}

// fits says whether the node is of the kind that is asked for, but for its traits.
func fits(n *node.Node, al *node.Allocation) bool {
	return n.ResourceClass == al.ResourceClass &&
		(len(al.CandidateNodes) == 0 || slices.Contains(al.CandidateNodes, string(n.UUID))) &&
		(al.Owner == "" || n.Owner == al.Owner || n.Lessee == al.Owner)
}

func hasTraits(n *node.Node, al *node.Allocation) bool {
	return !slices.ContainsFunc(al.Traits, func(t string) bool { return !slices.Contains(n.Traits, t) })
}

// give tries the node's lock once and, if the node still fits, writes the node
// and the allocation together.
func (a *Allocator) give(ctx context.Context, al *node.Allocation, id node.ID) error {
	r := task.Request{Node: id, Purpose: Purpose, NoDriver: true}
	return a.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if n := x.Node(); !free(n) || !fits(n, al) || !hasTraits(n, al) {
			return errUnfit
		}
		active := assign(x.Node(), al)
		c, err := a.cfg.Store.Keys().Update(al, active)
		if err != nil {
			return err
		}
		x.Tell(task.Told(active, task.Updated))
		return x.SaveWith(ctx, c)
	})
}

// assign lets the node point to the allocation, and answers the allocation that
// points to the node.
func assign(n *node.Node, al *node.Allocation) *node.Allocation {
	traits := make([]any, len(al.Traits))
	for i, t := range al.Traits {
		traits[i] = t
	}
	info := maps.Clone(n.InstanceInfo)
	if info == nil {
		info = node.Object{}
	}
	info["traits"] = traits
	n.InstanceUUID, n.AllocationUUID, n.InstanceInfo = al.UUID, al.UUID, info
	active := al.Clone()
	active.State, active.NodeUUID, active.LastError = node.AllocationActive, n.UUID, ""
	return active
}

// pause waits, or answers why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
