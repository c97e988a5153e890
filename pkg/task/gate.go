package task

import (
	"context"
	"errors"
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
	return trusted(ctx, r.check) // last, right before the machine
}

// trusted waits while the session is suspect, until it is trusted again or lost: a renewal that is
// late for a moment, as when etcd elects a leader or somebody sets the clock, must not end an hour's work.
func trusted(ctx context.Context, check func() error) error {
	for {
		err := check()
		if !errors.Is(err, lease.ErrSuspect) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// limit is the time that a call may take: steps and whole phases take longer than commands. The
// names of steps are in lower case, those of methods are not. Power is a phase: a driver that
// switches a machine off softly waits for its system to go down. Who calls it, knows how long.
func (m *Manager) limit(c hardware.Call) time.Duration {
	if !c.Writes {
		return m.cfg.CommandTimeout
	}
	if c.Method != "" && c.Method[0] >= 'a' && c.Method[0] <= 'z' {
		return m.cfg.StepTimeout
	}
	switch c.Interface {
	case hardware.InterfaceDeploy, hardware.InterfaceInspect, hardware.InterfaceRescue, hardware.InterfaceRAID,
		hardware.InterfaceFirmware, hardware.InterfaceBIOS, hardware.InterfaceVendor, hardware.InterfacePower:
		return m.cfg.StepTimeout
	}
	return m.cfg.CommandTimeout
}

// Quiet waits until a dead holder's last command to the machine is surely over, so that what the
// machine then says of itself stays true. It returns at once if nothing was abandoned.
//
// It is ErrClosed if the manager is being closed: nothing has been done yet, and what was abandoned
// can be left to the next.
func (x *Exclusive) Quiet(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(x.m.pool.closing, func() { cancel(ErrClosed) })()
	return x.first(ctx)
}

// first makes sure that, before a command, the intent stands in etcd and a dead holder's last
// command is over.
func (x *Exclusive) first(ctx context.Context) error {
	if err := trusted(ctx, x.Check); err != nil {
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
