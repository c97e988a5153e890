package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Recover brings a node into good hands that a conductor left in the middle of
// something, because it died or lost the lock. It returns nil at once if there is
// nothing to recover, and otherwise when a worker has the lock. That one waits
// until the dead one's last command is over, reads the real power state, and then
// goes on with a step that may be run again, or fails what was going on, with a
// last_error that names who did it and what. What waits for the machine, is left
// to wait; what waited for a conductor, goes on. Only then the abandoned section is settled, so that whoever dies in the
// middle of a recovery leaves it to the next.
//
// It waits for the lock as task.Request.Wait says, and needs no driver: without
// one, the node fails. Errors are those of task.Manager.Exclusive.
//
// Ironic: _fail_transient_state at start, and _check_orphan_nodes.
func (p *Provisioner) Recover(ctx context.Context, id node.ID, wait time.Duration) error {
	q := task.Request{Node: id, Purpose: "recover", Wait: wait, NoDriver: true}
	return p.cfg.Tasks.Exclusive(ctx, q, func(_ context.Context, x *task.Exclusive) error {
		n := x.Node()
		if x.Abandoned() == nil && !node.Stuck.Has(n.ProvisionState) && n.TargetPowerState == "" {
			return nil
		}
		x.SpawnAfter("recovery", p.recover)
		return nil
	})
}

// recover is the work behind Recover.
func (p *Provisioner) recover(ctx context.Context, x *task.Exclusive) error {
	n, left := x.Node(), x.Abandoned()
	noDriver := x.LoadDriver()
	if err := x.Quiet(ctx); errors.Is(err, task.ErrClosed) {
		return nil // the next conductor recovers what stays open
	} else if err != nil {
		return err
	}
	if noDriver == nil {
		if err := p.try(ctx, x, readPower); ctx.Err() != nil {
			return err
		} else if err != nil {
			p.cfg.Logger.WarnContext(ctx, "recovery goes on without the power state", "node", n.UUID, "err", err)
		}
	}
	who := culprit(left)
	if n.TargetPowerState != "" {
		if !node.Stuck.Has(n.ProvisionState) {
			n.LastError = fmt.Sprintf("the change of the power state to %q was cut off: %s", n.TargetPowerState, who)
		}
		x.Tell(task.Notification{Type: task.PowerSet + task.Failure, ToPower: n.TargetPowerState})
		n.TargetPowerState = ""
	}
	x.SaveAtEnd()
	if !node.Stuck.Has(n.ProvisionState) {
		if left != nil && node.Failure.Has(n.ProvisionState) {
			n.LastError += fmt.Sprintf("; what came after it was cut off: %s", who)
		}
		x.Settle()
		if left != nil && noDriver == nil && p.ours(n) {
			return p.resume(ctx, x)
		}
		return nil
	}
	return p.unstick(ctx, x, who, noDriver)
}

// ours says whether a node waits in a step for a conductor, and not for its
// machine: in a hold that has ended, or for some time to pass.
func (p *Provisioner) ours(n *node.Node) bool {
	f := p.flows.of(n.ProvisionState)
	if f == nil || n.ProvisionState != f.waiting {
		return false
	}
	s := node.Object(running(n, f.kind))
	args, _ := s["args"].(map[string]any)
	return s.Text("step") == stepHold || s.Text("step") == stepWait && args["seconds"] != nil
}

// unstick gets a node out of a state in which a worker should have it and none
// has, by going on or by giving up.
func (p *Provisioner) unstick(ctx context.Context, x *task.Exclusive, who string, noDriver error) error {
	n := x.Node()
	f := p.flows.of(n.ProvisionState)
	i := stepIndex(n, f.kind)
	text := fmt.Sprintf("the %s was cut off: %s", f.name, who)
	switch s := running(n, f.kind); {
	case s == nil:
		text += "; no step had begun that could be run again"
	case s["rerunnable"] != true:
		text += fmt.Sprintf("; %s may not be run again unseen", place(n, f))
	case noDriver != nil:
		text += fmt.Sprintf("; %s could be run again, but: %v", place(n, f), noDriver)
	default:
		p.cfg.Logger.WarnContext(ctx, "step is run again", "node", n.UUID, "step", place(n, f), "why", who)
		x.Settle() // from here on it is our own section that tells of what goes on
		return p.behind(f, func(ctx context.Context, x *task.Exclusive) (way, error) {
			return p.runSteps(ctx, x, f, i)
		})(ctx, x)
	}
	if err := p.failed(ctx, x, f, text); err != nil {
		x.Restore() // nothing that is half done goes with the release; the section stays open
		return err
	}
	x.Settle()
	return nil
}

// place names the running step of a node.
func place(n *node.Node, f *flow) string {
	o := node.Object(running(n, f.kind))
	all, _ := n.DriverInternalInfo[stepsKey(f.kind)].([]any)
	return fmt.Sprintf("step %s.%s (%d of %d)", o.Text("interface"), o.Text("step"), stepIndex(n, f.kind)+1, len(all))
}

// culprit says who left a section open.
func culprit(i *lease.Intent) string {
	if i == nil {
		return "the conductor that did it is gone"
	}
	what := i.Purpose
	if i.Detail != "" {
		what += ", " + i.Detail
	}
	text := fmt.Sprintf("conductor %s, who did %q since %s, died or lost the lock", i.Holder, what, i.Since.UTC().Format(time.RFC3339))
	for i = i.Left; i != nil; i = i.Left {
		text += fmt.Sprintf("; so did %s before, with %q", i.Holder, i.Purpose)
	}
	return text
}
