package task

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Move is Update for a record that goes from the node of another task to the node of this one. It
// happens under both locks or not at all. Old is the record as read under the lock of from.
//
// Take the two locks in the order of the nodes' uuids: two who move things in opposite directions
// would wait for each other.
func (x *Exclusive) Move(ctx context.Context, from *Exclusive, old, updated node.Record) error {
	if err := join(from.owns(old), x.owns(updated)); err != nil {
		return err
	}
	if err := from.stands(); err != nil {
		return fmt.Errorf("move %s %s from node %s: %w", old.Kind(), old.ID(), from.req.Node, err)
	}
	node.Sign(updated, x.writer())
	c, err := x.m.keys.Move(from.records, old, updated)
	if err != nil {
		return err
	}
	proof, err := from.fence.Proof()
	if err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	if err := x.apply(ctx, c, Told(updated, Updated), proof...); err != nil {
		return err
	}
	return from.reread(ctx, c)
}
