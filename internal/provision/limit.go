package provision

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/conductor-metal/conductor/pkg/node"
)

// limit is the highest number that a class may use; 0: there is none.
func (p *Provisioner) limit(class node.SlotClass) int {
	most := p.cfg.MaxConcurrentClean
	if class == node.DeploySlot {
		most = p.cfg.MaxConcurrentDeploy
	}
	return max(most, 0)
}

// inSlot fires an event into a state in which nodes are counted, with a slot.
// The slot becomes the node's in the transaction of the event, where no other
// node of the cluster can get it too: who is too late, looks again. As nobody
// who is limited takes a number above the limit, there are never more of them.
func (p *Provisioner) inSlot(ctx context.Context, n *node.Node, class node.SlotClass, limited bool, fire func() error) error {
	before := n.ActionSlot
	for late := false; ; late = true {
		number, err := p.freeSlot(ctx, class, limited, late)
		if err != nil {
			return err
		}
		n.ActionSlot = class.Slot(number)
		if err = fire(); err == nil {
			return nil
		}
		n.ActionSlot = before
		taken, ok := errors.AsType[*node.DuplicateError](err)
		if !ok || taken.Field != "action_slot" || ctx.Err() != nil {
			return err
		}
	}
}

// freeSlot looks for a slot: the lowest, so that numbers stay small, but after a
// collision any, so that many who come at once do not meet again and again.
func (p *Provisioner) freeSlot(ctx context.Context, class node.SlotClass, limited, late bool) (int, error) {
	taken, err := p.cfg.Store.Slots(ctx, class)
	if err != nil {
		return 0, err
	}
	used := make(map[int]bool, len(taken))
	for _, number := range taken {
		used[number] = true
	}
	most := p.limit(class)
	if !limited || most == 0 {
		most = len(taken) + 64
	} else if len(taken) >= most {
		return 0, &LimitError{Class: class, Limit: most}
	}
	var free []int
	for number := 1; number <= most; number++ {
		if used[number] {
			continue
		}
		if !late {
			return number, nil
		}
		free = append(free, number)
	}
	if len(free) == 0 {
		return 0, &LimitError{Class: class, Limit: most}
	}
	return free[rand.IntN(len(free))], nil
}
