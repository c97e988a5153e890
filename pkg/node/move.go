package node

import (
	"errors"
	"fmt"
)

// Move is Update for a record that may go to another node; rs are the records of
// the one that it leaves. A portgroup that has ports there is an *InUseError, and
// one that may have got ports since is refused as stale.
func (k Keys) Move(rs *Records, old, updated Record) (Change, error) {
	c, err := k.Update(old, updated)
	if err != nil || old.Kind() != KindPortgroup || k.of(old) == k.of(updated) {
		return c, err
	}
	if err := k.empty(&c, rs, old); err != nil {
		return Change{}, fmt.Errorf("%s: %w", c.What, err)
	}
	return c, nil
}

// empty demands that a portgroup has no ports.
func (k Keys) empty(c *Change, rs *Records, group Record) error {
	if rs == nil {
		return errors.New("the records of the node are needed to see whether it is empty")
	}
	var users []string
	for _, p := range rs.Ports {
		if p.PortgroupUUID == group.ID() {
			users = append(users, p.UUID)
		}
	}
	if len(users) > 0 {
		return &InUseError{Kind: KindPortgroup, UUID: group.ID(), By: users}
	}
	c.noneSince(k.child(KindPort, group.parent(), ""), rs.Revision)
	return nil
}
