package allocate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestBackfill(t *testing.T) {
	bubble(t, func(w *world) {
		c, other := w.conductor("c1"), w.conductor("c2")
		active := func(n *node.Node) { n.ProvisionState = node.StateActive }
		n := w.node(active, func(n *node.Node) { n.InstanceUUID, n.Traits = uuid.NewString(), []string{"CUSTOM_A"} })
		for _, tt := range []struct {
			node *node.Node
			al   node.Allocation
			kind error
			want string
		}{
			{w.node(), node.Allocation{}, allocate.ErrFailed, `state "available"`},
			{n, node.Allocation{ResourceClass: "gpu"}, allocate.ErrFailed, `not "gpu"`},
			{n, node.Allocation{Traits: []string{"CUSTOM_B"}}, allocate.ErrFailed, "CUSTOM_B"},
			{n, node.Allocation{CandidateNodes: []string{uuid.NewString()}}, allocate.ErrFailed, "candidate"},
			{n, node.Allocation{UUID: uuid.NewString()}, allocate.ErrAssociated, n.InstanceUUID},
			{w.node(active), node.Allocation{UUID: n.InstanceUUID}, node.ErrDuplicate, n.InstanceUUID},
			{w.node(active), node.Allocation{Name: "a b"}, node.ErrInvalid, "name"},
			{&node.Node{UUID: node.ID(uuid.NewString())}, node.Allocation{}, node.ErrNotFound, ""},
		} {
			if err := c.Backfill(w.Context(), &tt.al, tt.node.UUID, request); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				w.Errorf("got %v, want %v with %q", err, tt.kind, tt.want)
			}
		}
		if page, err := w.store.Allocations(w.Context(), node.ListRequest[*node.Allocation]{}); err != nil || len(page.Items) != 0 {
			w.Errorf("refusals left %v, %v", page, err)
		}
		free := w.hold(other, n.UUID)
		if err := c.Backfill(w.Context(), &node.Allocation{}, n.UUID, request); !errors.Is(err, lease.ErrHeld) {
			w.Errorf("a locked node: got %v", err)
		}
		free()
		al := &node.Allocation{Name: "mine", Traits: []string{"CUSTOM_A"}, CandidateNodes: []string{strings.ToUpper(string(n.UUID))}}
		if err := c.Backfill(w.Context(), al, n.UUID, request); err != nil {
			w.Fatal(err)
		}
		got, on := w.allocation("mine"), w.stored(n.UUID)
		if got.UUID != n.InstanceUUID || got.State != node.AllocationActive || got.NodeUUID != n.UUID || got.ResourceClass != "baremetal" ||
			on.AllocationUUID != got.UUID || on.Revision != got.Revision {
			w.Errorf("got %+v of node %+v", got, on.AllocationUUID)
		}
		if err := c.Backfill(w.Context(), &node.Allocation{}, n.UUID, request); !errors.Is(err, allocate.ErrAssociated) {
			w.Errorf("twice: got %v", err)
		}
	})
}

// allocated is a node with its allocation.
func allocated(w *world, c *conductor) (*node.Node, *node.Allocation) {
	w.Helper()
	n, al := w.node(), w.ask(c)
	synctest.Wait()
	if got := w.allocation(al.UUID); got.NodeUUID != n.UUID {
		w.Fatalf("got %+v", got)
	}
	return n, al
}

func TestDelete(t *testing.T) {
	bubble(t, func(w *world) {
		c, other := w.conductor("c1"), w.conductor("c2")
		n, al := allocated(w, c)
		for _, tt := range []struct {
			state, target node.ProvisionState
			maintenance   bool
			want          error
		}{
			{node.StateActive, "", false, node.ErrInvalidState},
			{node.StateDeploying, node.StateActive, false, node.ErrInvalidState},
			{node.StateDeployFailed, node.StateActive, false, nil},
			{node.StateActive, "", true, nil},
			{node.StateDeploying, node.StateActive, true, nil},
			{node.StateAvailable, "", false, nil},
		} {
			w.edit(c, n.UUID, func(n *node.Node) {
				n.ProvisionState, n.TargetProvisionState, n.Maintenance = tt.state, tt.target, tt.maintenance
			})
			err := other.Delete(w.Context(), al.UUID, request)
			if !errors.Is(err, tt.want) {
				w.Errorf("%s, maintenance %v: got %v, want %v", tt.state, tt.maintenance, err, tt.want)
			}
			got := w.stored(n.UUID)
			if tt.want != nil {
				if got.AllocationUUID != al.UUID || w.allocation(al.UUID).NodeUUID != n.UUID {
					w.Errorf("%s: a refusal changed %v", tt.state, got)
				}
				continue
			}
			if got.AllocationUUID != "" || got.InstanceUUID != "" {
				w.Errorf("%s: left %q, %q", tt.state, got.AllocationUUID, got.InstanceUUID)
			}
			if _, err := w.store.Allocation(w.Context(), al.UUID); !errors.Is(err, node.ErrNotFound) {
				w.Errorf("%s: the allocation is there: %v", tt.state, err)
			}
			w.edit(c, n.UUID, func(n *node.Node) {
				n.ProvisionState, n.TargetProvisionState, n.Maintenance = node.StateAvailable, "", false
			})
			al = w.ask(c)
			synctest.Wait()
		}
		free := w.hold(c, n.UUID)
		if err := other.Delete(w.Context(), al.UUID, request); !errors.Is(err, lease.ErrHeld) {
			w.Errorf("a locked node: got %v", err)
		}
		time.AfterFunc(time.Second, free)
		if err := other.Delete(w.Context(), al.UUID, allocate.Request{Wait: 3 * time.Second}); err != nil {
			w.Errorf("with a wait: got %v", err)
		}
		if err := other.Delete(w.Context(), al.UUID, request); !errors.Is(err, node.ErrNotFound) {
			w.Errorf("twice: got %v", err)
		}
		w.consistent()
	})
}

// TestDeleteWithoutNode: an allocation that failed, and one whose node is gone or
// has forgotten it.
func TestDeleteWithoutNode(t *testing.T) {
	bubble(t, func(w *world) {
		c := w.conductor("c1")
		al := w.ask(c)
		synctest.Wait()
		if err := c.Delete(w.Context(), al.UUID, request); err != nil {
			w.Error(err)
		}
		// A node that knows nothing of it, and one that is gone: written by hand.
		n, al := allocated(w, c)
		key, hand := w.store.Keys().Node(n.UUID), w.open("hand")
		if _, err := hand.Put(w.Context(), key, `{"driver": "fake-hardware", "provision_state": "active"}`); err != nil {
			w.Fatal(err)
		}
		if err := c.Delete(w.Context(), al.UUID, request); err != nil {
			w.Error(err)
		}
		if got := w.stored(n.UUID); got.WrittenBy != nil {
			w.Error("the node was written")
		}
		if _, err := hand.Delete(w.Context(), key); err != nil {
			w.Fatal(err)
		}
		n, al = allocated(w, c)
		if _, err := hand.Delete(w.Context(), w.store.Keys().Node(n.UUID)); err != nil {
			w.Fatal(err)
		}
		if err := c.Delete(w.Context(), al.UUID, request); err != nil {
			w.Error(err)
		}
		if _, err := w.store.Allocation(w.Context(), al.UUID); !errors.Is(err, node.ErrNotFound) {
			w.Errorf("got %v", err)
		}
	})
}
