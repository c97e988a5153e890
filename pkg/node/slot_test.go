package node_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// A slot is unique, goes with the node into all states of its class, and is free
// again in the very write that leaves them.
func TestSlot(t *testing.T) {
	etcd := leasetest.New()
	t.Cleanup(etcd.Close)
	s := node.NewStore(etcd.Client("test"), lease.DefaultRoot)
	put := func(n *node.Node, state node.ProvisionState, slot string) (*node.Node, error) {
		t.Helper()
		updated := n.Clone()
		updated.ProvisionState, updated.ActionSlot = state, slot
		c, err := s.Keys().Update(n, updated)
		if err == nil {
			_, err = s.Commit(t.Context(), c)
		}
		return updated, err
	}
	taken := func(class node.SlotClass, want ...int) {
		t.Helper()
		if got, err := s.Slots(t.Context(), class); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s slots %v, %v, want %v", class, got, err, want)
		}
	}
	var nodes []*node.Node
	for i := range 2 {
		n := &node.Node{Driver: "fake-hardware", Name: fmt.Sprint("n", i), ProvisionState: node.StateAvailable}
		if err := s.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	slot := node.DeploySlot.Slot(17)
	first, err := put(nodes[0], node.StateDeploying, slot)
	if err != nil || first.ActionSlot != "deploy/000017" {
		t.Fatalf("%q, %v", first.ActionSlot, err)
	}
	taken(node.DeploySlot, 17)
	taken(node.CleanSlot)
	_, err = put(nodes[1], node.StateDeploying, slot)
	if d, ok := errors.AsType[*node.DuplicateError](err); !ok || d.Field != "action_slot" || d.Owner != string(first.UUID) {
		t.Errorf("the same slot for another node: %v", err)
	}
	for _, step := range []struct {
		state  node.ProvisionState
		slot   string
		deploy []int
		clean  []int
	}{
		{node.StateWaitCallBack, slot, []int{17}, nil},
		{node.StateDeleting, node.CleanSlot.Slot(3), nil, []int{3}},
		{node.StateCleaning, node.CleanSlot.Slot(3), nil, []int{3}},
		{node.StateCleanHold, node.CleanSlot.Slot(3), nil, nil},
		{node.StateCleanWait, node.CleanSlot.Slot(1), nil, []int{1}},
		{node.StateCleanWait, slot, nil, nil}, // of another class
		{node.StateAvailable, "", nil, nil},
	} {
		if first, err = put(first, step.state, step.slot); err != nil {
			t.Fatal(step.state, err)
		}
		taken(node.DeploySlot, step.deploy...)
		taken(node.CleanSlot, step.clean...)
	}
}
