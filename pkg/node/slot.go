package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// SlotClass is a kind of work whose nodes are counted in the whole cluster: each
// of them has a slot of the class in Node.ActionSlot.
type SlotClass string

// The classes.
const (
	DeploySlot SlotClass = "deploy" // of the states DeployCounted
	CleanSlot  SlotClass = "clean"  // of the states CleanCounted
)

// SlotClass answers the class that nodes in the state count for, or "".
func (p ProvisionState) SlotClass() SlotClass {
	switch {
	case DeployCounted.Has(p):
		return DeploySlot
	case CleanCounted.Has(p):
		return CleanSlot
	}
	return ""
}

// Slot answers the slot of a number, as ActionSlot holds it.
func (c SlotClass) Slot(number int) string { return fmt.Sprintf("%s/%06d", c, number) }

// Owns says whether a slot is one of the class.
func (c SlotClass) Owns(slot string) bool { return c != "" && strings.HasPrefix(slot, string(c)+"/") }

// Slots answers the numbers of all slots of a class that are taken, in order. It
// reads keys only.
func (s *Store) Slots(ctx context.Context, c SlotClass) ([]int, error) {
	prefix := s.keys.slot(c.Slot(0))
	prefix = prefix[:strings.LastIndexByte(prefix, '/')+1]
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("read the slots below key %s: %w", prefix, err)
	}
	taken := make([]int, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if n, err := strconv.Atoi(string(kv.Key[len(prefix):])); err == nil {
			taken = append(taken, n)
		}
	}
	return taken, nil
}

// slot answers the index key of a slot.
func (k Keys) slot(slot string) string { return k.index("slot", strings.Split(slot, "/")...) }

// leaveSlot gives the slot back when the node's state is none of its class.
func (n *Node) leaveSlot() {
	if !n.ProvisionState.SlotClass().Owns(n.ActionSlot) {
		n.ActionSlot = ""
	}
}
