package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// SetConsole asks for the node's console to be on or off. It returns nil when
// the console is as asked for, which takes no lock, or when a worker has the
// lock; then the state ends up in the node's console_enabled and a failure in
// last_error.
//
// Errors: those of task.Manager.Snapshot and Exclusive, and of the console's
// validation.
//
// Ironic: ConductorManager.set_console_mode.
func (p *Provisioner) SetConsole(ctx context.Context, id node.ID, on bool, wait time.Duration, user string) error {
	r := task.Request{Node: id, Purpose: purposeStopConsole, Wait: wait, User: user}
	j := job{name: r.Purpose, event: task.ConsoleSet}
	if on {
		r.Purpose, j.name = purposeStartConsole, purposeStartConsole
	}
	j.failed = func(err error) string {
		return fmt.Sprintf("Failed to %s of node %s. Error: %v", r.Purpose, id, err)
	}
	j.do = func(ctx context.Context, x *task.Exclusive) error {
		c := x.Driver().Console
		act := c.Stop
		if on {
			act = c.Start
		}
		if err := act(ctx); err != nil {
			return err
		}
		x.Node().ConsoleEnabled = on
		return nil
	}
	there := false
	err := p.cfg.Tasks.Snapshot(ctx, r, func(ctx context.Context, s *task.Snapshot) error {
		there = s.Node().ConsoleEnabled == on
		return FromMachine(s.Driver().Console.Validate(ctx))
	})
	if err != nil || there {
		return err
	}
	return p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := x.Driver().Console.Validate(ctx); err != nil {
			return FromMachine(err)
		}
		if x.Node().ConsoleEnabled == on {
			return nil
		}
		return p.hand(ctx, x, j)
	})
}
