package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Exclusive runs fn with the exclusive lock of a node. The context that fn gets ends with ctx or
// with the lock, whichever is first; the task is valid until fn returns, or until the background
// work that it registered with SpawnAfter ends.
//
// It blocks for the lock as Request.Wait says, and then for fn. Errors: what fn returns; a
// *lease.HeldError, *node.NotFoundError, an error of hardware composition or of the session if fn
// did not run; lease.ErrLost, whatever fn returned, if the lock was lost before its end.
func (m *Manager) Exclusive(ctx context.Context, r Request, fn func(context.Context, *Exclusive) error) (err error) {
	if err := m.prepare(&r); err != nil {
		return err
	}
	defer m.tasks.Done()
	defer m.cfg.Metrics.begin("exclusive")(&err)
	ctx, cancel := m.bind(ctx)
	defer cancel()
	c, l, err := m.lock(ctx, r, lease.Exclusive)
	if err != nil {
		return err
	}
	x := newExclusive(c, l)
	ctx, stop := l.Bind(ctx)
	defer stop()
	return x.run(ctx, fn)
}

// bind makes a context that also ends with the manager.
func (m *Manager) bind(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	off := context.AfterFunc(m.ctx, func() { cancel(context.Cause(m.ctx)) })
	return ctx, func() { off(); cancel(nil) }
}

func newExclusive(c *core, l *lease.Lock) *Exclusive {
	return &Exclusive{core: c, fence: l, begun: time.Now(), saved: c.records.Node.Clone()}
}

// run calls fn and then starts the background work, or ends the task if there is none. A panic of
// fn ends the task and goes on.
func (x *Exclusive) run(ctx context.Context, fn func(context.Context, *Exclusive) error) (err error) {
	done := false
	defer func() {
		if !done {
			x.end(ctx)
		}
	}()
	err = fn(ctx, x)
	done = true
	if err == nil && x.working() && x.Check() == nil {
		return x.launch(ctx)
	}
	return x.result(err, x.end(ctx))
}

// result is the error of a task: the loss of the lock outranks all else.
func (x *Exclusive) result(err, endErr error) error {
	lost := context.Cause(x.fence.Context())
	if errors.Is(lost, lease.ErrLost) || errors.Is(lost, lease.ErrClosed) {
		if err == nil || errors.Is(err, lease.ErrLost) {
			return fmt.Errorf("node %s: %w", x.req.Node, lost)
		}
		return fmt.Errorf("node %s: %w (the task: %w)", x.req.Node, lost, err)
	}
	return errors.Join(err, endErr)
}

// end releases the lock, with the node's record if SaveAtEnd asked for it.
func (x *Exclusive) end(ctx context.Context) error {
	if x.over.Swap(true) {
		return nil
	}
	x.mu.Lock()
	drop := x.spawn
	x.spawn = nil
	atEnd := x.atEnd
	x.mu.Unlock()
	if drop != nil {
		drop.slot.free()
	}
	var w lease.Write
	var change node.Change
	if atEnd {
		var err error
		if change, err = x.change(); err != nil {
			return errors.Join(err, x.fence.Release(ctx, lease.Write{}))
		}
		w = write(change)
	}
	return explainChange(change, x.fence.Release(ctx, w))
}

// Shared runs fn with a shared lock of a node: no task changes the node meanwhile, others may
// look at it too. Everything else is as with Exclusive.
func (m *Manager) Shared(ctx context.Context, r Request, fn func(context.Context, *Shared) error) (err error) {
	if err := m.prepare(&r); err != nil {
		return err
	}
	defer m.tasks.Done()
	defer m.cfg.Metrics.begin("shared")(&err)
	ctx, cancel := m.bind(ctx)
	defer cancel()
	c, l, err := m.lock(ctx, r, lease.Shared)
	if err != nil {
		return err
	}
	s := &Shared{core: c, lock: l}
	ctx, stop := l.Bind(ctx)
	defer stop()
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, s.end(ctx))
		}
	}()
	err = fn(ctx, s)
	done = true
	if x := s.working; x != nil {
		s.over.Store(true)
		if err == nil && x.Check() == nil {
			return x.launch(ctx)
		}
		return x.result(err, x.end(ctx))
	}
	endErr := s.end(ctx)
	if lost := context.Cause(l.Context()); errors.Is(lost, lease.ErrLost) || errors.Is(lost, lease.ErrClosed) {
		return errors.Join(lost, err)
	}
	return errors.Join(err, endErr)
}

func (s *Shared) end(ctx context.Context) error {
	s.over.Store(true)
	return s.lock.Release(ctx, lease.Write{})
}

// Snapshot runs fn with a consistent read of a node and all that belongs to it, without a lock:
// the node may change meanwhile. It never waits for anybody.
func (m *Manager) Snapshot(ctx context.Context, r Request, fn func(context.Context, *Snapshot) error) (err error) {
	if err := m.prepare(&r); err != nil {
		return err
	}
	defer m.tasks.Done()
	defer m.cfg.Metrics.begin("snapshot")(&err)
	ctx, cancel := m.bind(ctx)
	defer cancel()
	rs, err := m.read(ctx, r.Node)
	if err != nil {
		return err
	}
	s := &Snapshot{core: &core{m: m, req: r}, taken: time.Now()}
	if err := s.load(rs); err != nil {
		return fmt.Errorf("node %s: %w", r.Node, err)
	}
	defer s.over.Store(true)
	return fn(ctx, s)
}
