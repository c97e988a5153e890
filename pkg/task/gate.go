package task

import (
	"context"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
)

// right is what the gate must know of the task whose calls it lets pass.
type right struct {
	check  func() error
	lock   *lease.Lock // nil for a snapshot
	actor  hardware.Actor
	driver string                      // the hardware type, for the metrics
	first  func(context.Context) error // runs before each command, nil for those who only read
}

// gate is the choke point before each command to a machine: it ends the call with the lock,
// whatever context the caller had at hand, prepares what a first command needs, checks that the
// right still stands, says who commands, and bounds the call in time.
func (m *Manager) gate(r right) hardware.Gate {
	return func(ctx context.Context, c hardware.Call) (context.Context, func(error), error) {
		free := func() {}
		if r.lock != nil {
			ctx, free = r.lock.Bind(ctx)
		}
		if err := r.pass(ctx, c); err != nil {
			free()
			return ctx, nil, fmt.Errorf("node %s: %w", c.Node, err)
		}
		limit := m.limit(c)
		ctx, cancel := context.WithTimeoutCause(hardware.WithActor(ctx, r.actor), limit,
			fmt.Errorf("%s took longer than %s", c, limit))
		start := time.Now()
		return ctx, func(err error) {
			cancel()
			free()
			m.cfg.Metrics.command(r.driver, c, time.Since(start), err)
		}, nil
	}
}

func (r right) pass(ctx context.Context, c hardware.Call) error {
	if c.Writes && r.first != nil {
		if err := r.first(ctx); err != nil {
			return err
		}
	}
	return r.check() // last, right before the machine
}

// limit is the time that a call may take: steps and whole phases take longer than commands. The
// names of steps are in lower case, those of methods are not.
func (m *Manager) limit(c hardware.Call) time.Duration {
	if !c.Writes {
		return m.cfg.CommandTimeout
	}
	if c.Method != "" && c.Method[0] >= 'a' && c.Method[0] <= 'z' {
		return m.cfg.StepTimeout
	}
	switch c.Interface {
	case hardware.InterfaceDeploy, hardware.InterfaceInspect, hardware.InterfaceRescue, hardware.InterfaceRAID,
		hardware.InterfaceFirmware, hardware.InterfaceBIOS, hardware.InterfaceVendor:
		return m.cfg.StepTimeout
	}
	return m.cfg.CommandTimeout
}

// first makes sure that, before a command, the intent stands in etcd and a dead holder's last
// command is over.
func (x *Exclusive) first(ctx context.Context) error {
	if err := x.Check(); err != nil {
		return err
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
