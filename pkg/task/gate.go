package task

import (
	"context"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
)

// gate is the choke point before each command to a machine: it checks that the right still
// stands, prepares what a first command needs, says who commands, and bounds the call in time.
func (m *Manager) gate(check func() error, a hardware.Actor, first func(context.Context) error) hardware.Gate {
	return func(ctx context.Context, c hardware.Call) (context.Context, func(error), error) {
		if c.Writes && first != nil {
			if err := first(ctx); err != nil {
				return ctx, nil, err
			}
		}
		if err := check(); err != nil { // last, right before the machine
			return ctx, nil, fmt.Errorf("node %s: %w", c.Node, err)
		}
		limit := m.limit(c)
		ctx, cancel := context.WithTimeoutCause(hardware.WithActor(ctx, a), limit,
			fmt.Errorf("%s took longer than %s", c, limit))
		start := time.Now()
		return ctx, func(err error) {
			cancel()
			m.cfg.Metrics.command(c, time.Since(start), err)
		}, nil
	}
}

// limit is the time that a call may take: whole phases and steps take longer than commands.
func (m *Manager) limit(c hardware.Call) time.Duration {
	if !c.Writes {
		return m.cfg.CommandTimeout
	}
	switch c.Interface {
	case hardware.InterfaceDeploy, hardware.InterfaceInspect, hardware.InterfaceRescue, hardware.InterfaceRAID,
		hardware.InterfaceFirmware, hardware.InterfaceBIOS, hardware.InterfaceVendor:
		return m.cfg.StepTimeout
	}
	return m.cfg.CommandTimeout
}

// gate is that of an exclusive task. Before its first command, the intent stands in etcd and a
// dead holder's last command is over.
func (x *Exclusive) gate(ctx context.Context, c hardware.Call) (context.Context, func(error), error) {
	return x.m.gate(x.Check, x.m.actor(x.fence), x.first)(ctx, c)
}

func (x *Exclusive) first(ctx context.Context) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("node %s: %w", x.req.Node, err)
	}
	if err := x.fence.Declare(ctx, ""); err != nil {
		return err
	}
	if x.fence.Abandoned() == nil {
		return nil
	}
	select {
	case <-time.After(x.m.cfg.LockDelay - time.Since(x.begun)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
