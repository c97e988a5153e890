package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

var (
	errUpgraded = errors.New("it is upgraded already: use the exclusive task")
	errWorking  = errors.New("background work is registered under the exclusive lock")
)

// Upgrade runs fn with the exclusive lock, and goes back to the shared one after it. Other readers
// are waited for as wait says (0: not at all; lease.Patient: as long as ctx lives); nobody else
// can have changed the node in between. Records and state machine are loaded anew, for fn and for
// what follows it; changes that fn did not save are gone then. A purpose that is not empty
// replaces the task's own. Upgrades do not nest.
//
// If fn registers background work, the lock stays exclusive and the work starts when the shared
// task's function returns nil.
//
// Errors: what fn returns; if fn did not run, a *lease.HeldError or *lease.UpgradeConflictError,
// after which the task goes on as before, or lease.ErrLost.
func (s *Shared) Upgrade(ctx context.Context, purpose string, wait time.Duration, fn func(context.Context, *Exclusive) error) error {
	if !s.upgraded.CompareAndSwap(false, true) {
		return fmt.Errorf("upgrade node %s: %w", s.req.Node, errUpgraded)
	}
	defer func() { s.upgraded.Store(s.working != nil) }()
	x, err := s.raise(ctx, purpose, wait)
	if err != nil {
		return fmt.Errorf("upgrade node %s: %w", s.req.Node, err)
	}
	lctx, stop := s.lock.Bind(ctx)
	defer stop()
	done := false
	defer func() {
		if !done {
			x.restore()
			x.drop(ctx, errPanicked)
			_ = s.lower(ctx, x) // the panic is what goes out
		}
	}()
	err = fn(lctx, x)
	done = true
	if err == nil && x.working() {
		s.working = x
		s.adopt(x)
		return nil
	}
	x.drop(ctx, err)
	return x.result(err, s.lower(ctx, x))
}

// raise makes the lock exclusive and takes the records that were read with it.
func (s *Shared) raise(ctx context.Context, purpose string, wait time.Duration) (*Exclusive, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	kept := s.lock.Mode() == lease.Exclusive // a downgrade gave way to a foreign waiter
	if err := s.lock.Upgrade(ctx, purpose, wait); err != nil {
		return nil, err
	}
	if purpose != "" {
		s.req.Purpose = purpose
	}
	if err := s.reload(ctx, kept); err != nil {
		return nil, errors.Join(err, s.lock.Downgrade(context.WithoutCancel(ctx), lease.Write{}))
	}
	return newExclusive(&core{m: s.m, req: s.req, since: s.since, who: s.who, records: s.records, machine: s.machine, composed: s.composed}, s.lock), nil
}

// reload takes the records that the upgrade read, or reads them if the lock was exclusive all along.
func (s *Shared) reload(ctx context.Context, kept bool) (err error) {
	var rs *node.Records
	if kept {
		rs, err = s.m.read(ctx, s.req.Node)
	} else {
		rs, err = s.m.decode(s.req.Node, s.lock.Records())
	}
	if err != nil {
		return err
	}
	s.reader = nil
	return s.load(rs)
}

// adopt makes a task see what its exclusive part did. It takes copies: the exclusive part may go
// on in the background.
func (c *core) adopt(x *Exclusive) {
	rs := x.records.Clone()
	if !x.saves() {
		rs.Node = x.saved.Clone()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records, c.composed, c.reader = rs, x.composed, nil
	c.req.NoDriver, c.req.Purpose = x.req.NoDriver, x.req.Purpose
	if machine, err := node.NewMachine(rs.Node.ProvisionState, rs.Node.TargetProvisionState); err == nil {
		c.machine = machine // a node that no machine knows cannot have been saved
	}
}

// lower ends the exclusive part of a task, with the node's record if SaveAtEnd asked for it.
func (s *Shared) lower(ctx context.Context, x *Exclusive) error {
	if x.over.Swap(true) { // destroyed
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	change, err := x.last(ctx)
	if err != nil {
		x.restore()
	}
	told := x.tidings()
	if err != nil || !x.saves() {
		told = nil
	}
	w := x.tells(write(change), told)
	s.adopt(x)
	down := s.lock.Downgrade(ctx, w)
	if errors.Is(down, lease.ErrForeignWaiter) { // more right than needed; the release gives it up
		s.m.cfg.Logger.InfoContext(ctx, "lock stays exclusive", "node", s.req.Node, "err", down)
		down = nil
		if len(w.Then) > 0 {
			_, down = s.lock.Commit(ctx, w)
		}
	}
	if down == nil {
		x.m.heard(ctx, s.req.Node, told)
	}
	if errors.Is(down, lease.ErrConflict) {
		down = errors.Join(explainChange(change, down), s.lock.Downgrade(ctx, lease.Write{}))
	}
	return join(err, down)
}

// Downgrade ends the exclusive part of the task for good: fn runs with a shared lock that keeps
// the place in the queue, and the exclusive task answers ErrReleased from here on. It never waits
// for other holders. While a foreign locker waits for the node, the lock stays exclusive, which fn
// cannot tell. The node is written with the downgrade if SaveAtEnd was called; changes that were
// not saved are gone.
func (x *Exclusive) Downgrade(ctx context.Context, fn func(context.Context, *Shared) error) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("downgrade node %s: %w", x.req.Node, err)
	}
	if x.working() {
		return fmt.Errorf("downgrade node %s: %w", x.req.Node, errWorking)
	}
	s := &Shared{core: &core{m: x.m, req: x.req, since: x.since, who: x.who}, lock: x.fence}
	if err := s.lower(ctx, x); err != nil {
		defer s.lost(ctx, x.fence)
		return join(err, x.fence.Release(ctx, lease.Write{}))
	}
	ctx, stop := x.fence.Bind(ctx)
	defer stop()
	return s.run(ctx, fn)
}

// Upgrade runs fn with the exclusive lock of the snapshot's node, taken as Manager.Exclusive takes
// it: the node may have changed since the snapshot, so everything is read anew, for fn and for
// what follows it.
func (s *Snapshot) Upgrade(ctx context.Context, purpose string, wait time.Duration, fn func(context.Context, *Exclusive) error) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("upgrade node %s: %w", s.req.Node, err)
	}
	r := s.req
	r.Wait = wait
	if purpose != "" {
		r.Purpose = purpose
	}
	return s.m.Exclusive(ctx, r, func(ctx context.Context, x *Exclusive) error {
		defer func() {
			s.adopt(x)
			s.taken = time.Now()
		}()
		return fn(ctx, x)
	})
}
