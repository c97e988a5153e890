package allocate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Request says on whose behalf an allocation is changed, and how long to wait for
// the lock of its node.
type Request struct {
	Wait time.Duration
	User string
}

func (r Request) task(id node.ID, purpose string) task.Request {
	return task.Request{Node: id, Purpose: purpose, Wait: r.Wait, User: r.User, NoDriver: true}
}

// Backfill stores an allocation for a node that was deployed without one. It is
// for active nodes only, and does not search. Without a uuid the allocation gets
// that of the node's instance, and without a resource class the node's. After an
// error nothing is stored.
//
// Errors: *FailedError if the node is not what the allocation asks for,
// *AssociatedError, *node.DuplicateError, or those of task.Manager.Exclusive.
func (a *Allocator) Backfill(ctx context.Context, al *node.Allocation, id node.ID, r Request) error {
	return a.cfg.Tasks.Exclusive(ctx, r.task(id, PurposeBackfill), func(ctx context.Context, x *task.Exclusive) error {
		n := x.Node()
		al.UUID = cmp.Or(al.UUID, n.InstanceUUID, uuid.NewString())
		al.ResourceClass = cmp.Or(al.ResourceClass, n.ResourceClass)
		al.Normalize()
		if err := mayBackfill(n, al); err != nil {
			return err
		}
		*al = *assign(n, al)
		c, err := a.cfg.Store.Keys().Create(al)
		if err != nil {
			return err
		}
		x.Tell(task.Told(al, task.Created))
		return x.SaveWith(ctx, c)
	})
}

func mayBackfill(n *node.Node, al *node.Allocation) error {
	var wrong []string
	if n.ProvisionState != node.StateActive {
		wrong = append(wrong, fmt.Sprintf("it is in state %q and not active", n.ProvisionState))
	}
	if al.ResourceClass != n.ResourceClass {
		wrong = append(wrong, fmt.Sprintf("its resource class is %q and not %q", n.ResourceClass, al.ResourceClass))
	}
	if !hasTraits(n, al) {
		wrong = append(wrong, fmt.Sprintf("its traits are %q and lack some of %q", n.Traits, al.Traits))
	}
	if len(al.CandidateNodes) > 0 && !slices.Contains(al.CandidateNodes, string(n.UUID)) {
		wrong = append(wrong, "it is not among the candidate nodes")
	}
	if len(wrong) > 0 {
		return failed(al, "node %s cannot be backfilled: %s", n.UUID, strings.Join(wrong, "; "))
	}
	if other := n.InstanceUUID; other != "" && other != al.UUID {
		return &AssociatedError{Node: n.UUID, Instance: other}
	}
	if other := n.AllocationUUID; other != "" {
		return &AssociatedError{Node: n.UUID, Instance: other}
	}
	return nil
}

// Delete removes an allocation, and frees its node under the node's lock. An
// active node keeps it unless it is in maintenance: *StateError.
func (a *Allocator) Delete(ctx context.Context, id string, r Request) (err error) {
	for range reloads {
		var al *node.Allocation
		if al, err = a.cfg.Store.Allocation(ctx, id); err != nil {
			return err
		}
		if err = a.remove(ctx, al, r); !errors.Is(err, node.ErrStale) {
			return err
		}
	}
	return err
}

func (a *Allocator) remove(ctx context.Context, al *node.Allocation, r Request) error {
	if al.NodeUUID != "" {
		freed := false
		err := a.cfg.Tasks.Exclusive(ctx, r.task(al.NodeUUID, PurposeDelete), func(ctx context.Context, x *task.Exclusive) error {
			n := x.Node()
			if freed = n.AllocationUUID == al.UUID; !freed {
				return nil // it knows nothing of us
			}
			if err := MayRelease(n); err != nil {
				return err
			}
			n.AllocationUUID, n.InstanceUUID = "", ""
			gone := task.Told(al, task.Deleted)
			gone.User = r.User
			x.Tell(gone)
			return x.Save(ctx) // deletes the allocation too
		})
		if missing, ok := errors.AsType[*node.NotFoundError](err); freed || err != nil && (!ok || missing.Kind != node.KindNode) {
			return err
		}
	}
	c, err := a.cfg.Store.Keys().Delete(nil, al)
	if err != nil {
		return err
	}
	gone := task.Told(al, task.Deleted)
	gone.User = r.User
	_, err = a.cfg.Tasks.Commit(ctx, c, gone)
	return err
}

// MayRelease says whether the node may lose its allocation: a *StateError if its
// state forbids it.
//
// Ironic: allocations.verify_node_for_deallocation.
func MayRelease(n *node.Node) error {
	busy := n.TargetProvisionState != "" && !node.UpdateAllowed.Has(n.ProvisionState)
	if !n.Maintenance && (busy || n.ProvisionState == node.StateActive) {
		return &StateError{Allocation: n.AllocationUUID, Node: n.UUID, State: n.ProvisionState}
	}
	return nil
}
