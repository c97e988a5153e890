package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// Upgrade runs fn with the exclusive lock, and goes back to the shared one after it. Other readers
// are waited for as wait says (0: not at all; lease.Patient: as long as ctx lives); nobody else
// can have changed the node in between. Records and state machine are loaded anew, for fn and for
// what follows it. A purpose that is not empty replaces the task's own.
//
// If fn registers background work, the lock stays exclusive and the work starts when the shared
// task's function returns nil.
//
// Errors: what fn returns; if fn did not run, a *lease.HeldError or *lease.UpgradeConflictError,
// after which the task goes on as before, or lease.ErrLost.
func (s *Shared) Upgrade(ctx context.Context, purpose string, wait time.Duration, fn func(context.Context, *Exclusive) error) error {
	if s.working != nil {
		return fmt.Errorf("upgrade node %s: background work is already registered under the exclusive lock", s.req.Node)
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("upgrade node %s: %w", s.req.Node, err)
	}
	if err := s.lock.Upgrade(ctx, purpose, wait); err != nil {
		return fmt.Errorf("upgrade node %s: %w", s.req.Node, err)
	}
	if purpose != "" {
		s.req.Purpose = purpose
	}
	if err := s.reload(); err != nil {
		return errors.Join(err, s.lock.Downgrade(ctx, lease.Write{}))
	}
	x := newExclusive(&core{m: s.m, req: s.req, records: s.records, machine: s.machine, composed: s.composed}, s.lock)
	lctx, stop := s.lock.Bind(ctx)
	defer stop()
	done := false
	defer func() {
		if !done {
			x.over.Store(true)
		}
	}()
	err := fn(lctx, x)
	done = true
	if err == nil && x.working() {
		s.working = x
		s.adopt(x)
		return nil
	}
	return x.result(err, s.lower(ctx, x))
}

// reload takes the records that the upgrade read.
func (s *Shared) reload() error {
	rs, err := s.m.decode(s.req.Node, s.lock.Records())
	if err != nil {
		return err
	}
	s.reader = nil
	return s.load(rs)
}

// adopt makes the shared task see what its exclusive part did.
func (c *core) adopt(x *Exclusive) {
	c.records, c.machine, c.composed, c.reader = x.records, x.machine, x.composed, nil
}

// lower ends the exclusive part of a shared task, with the node's record if SaveAtEnd asked for it.
func (s *Shared) lower(ctx context.Context, x *Exclusive) error {
	if x.over.Swap(true) { // destroyed
		return nil
	}
	s.adopt(x)
	var w lease.Write
	change, err := x.change()
	if x.atEnd && err != nil {
		return errors.Join(err, s.lock.Downgrade(context.WithoutCancel(ctx), w))
	}
	if x.atEnd {
		w = write(change)
	}
	err = s.lock.Downgrade(context.WithoutCancel(ctx), w)
	if errors.Is(err, lease.ErrForeignWaiter) { // more right than needed; the release gives it up
		s.m.cfg.Logger.InfoContext(ctx, "lock stays exclusive", "node", s.req.Node, "err", err)
		if x.atEnd {
			_, err = s.lock.Commit(ctx, w)
		} else {
			err = nil
		}
	}
	if errors.Is(err, lease.ErrConflict) {
		return errors.Join(explainChange(change, err), s.lock.Downgrade(context.WithoutCancel(ctx), lease.Write{}))
	}
	return err
}

// Downgrade ends the exclusive part of the task for good: fn runs with a shared lock that keeps
// the place in the queue, and the exclusive task answers ErrReleased from here on. It never waits
// for other holders. While a foreign locker waits for the node, the lock stays exclusive, which fn
// cannot tell. The node is written with the downgrade if SaveAtEnd was called.
func (x *Exclusive) Downgrade(ctx context.Context, fn func(context.Context, *Shared) error) error {
	if err := x.Check(); err != nil {
		return fmt.Errorf("downgrade node %s: %w", x.req.Node, err)
	}
	if x.working() {
		return fmt.Errorf("downgrade node %s: background work is registered under the exclusive lock", x.req.Node)
	}
	s := &Shared{core: &core{m: x.m, req: x.req}, lock: x.fence}
	if err := s.lower(ctx, x); err != nil {
		return errors.Join(err, x.fence.Release(ctx, lease.Write{}))
	}
	done := false
	defer func() {
		if !done {
			_ = s.end(ctx)
		}
	}()
	err := fn(ctx, s)
	done = true
	return errors.Join(err, s.end(ctx))
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
		s.req.Purpose = r.Purpose
		return fn(ctx, x)
	})
}
