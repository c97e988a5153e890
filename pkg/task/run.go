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

// errPanicked stands for the error of a function that did not return.
var errPanicked = errors.New("task panicked")

// run calls fn and concludes the task. A panic of fn ends the task and goes on; what fn had
// changed and not saved is not written then.
func (x *Exclusive) run(ctx context.Context, fn func(context.Context, *Exclusive) error) (err error) {
	done := false
	defer func() {
		if !done {
			x.restore()
			x.drop(ctx, errPanicked)
			_ = x.end(ctx) // the panic is what goes out
		}
	}()
	err = fn(ctx, x)
	done = true
	return x.conclude(ctx, err)
}

// conclude starts the background work, which takes the lock over, or ends the task if there is none.
func (x *Exclusive) conclude(ctx context.Context, err error) error {
	if err == nil && x.working() && x.stands() == nil {
		if err = x.launch(ctx); err == nil {
			return nil
		}
	}
	x.drop(ctx, err)
	return x.result(err, x.end(ctx))
}

// result is the error of a task: the loss of the lock outranks all else.
func (x *Exclusive) result(err, endErr error) error { return outcome(x.req.Node, x.fence, err, endErr) }

func outcome(id node.ID, l *lease.Lock, err, endErr error) error {
	lost := context.Cause(l.Context())
	switch {
	case !errors.Is(lost, lease.ErrLost) && !errors.Is(lost, lease.ErrClosed):
		return join(err, endErr)
	case err == nil || errors.Is(err, lost):
		return fmt.Errorf("node %s: %w", id, lost)
	}
	return fmt.Errorf("node %s: %w (the task: %w)", id, lost, err)
}

// join is errors.Join that leaves a lone error as it is.
func join(err, also error) error {
	switch {
	case err == nil:
		return also
	case also == nil:
		return err
	}
	return errors.Join(err, also)
}

// end releases the lock, with the node's record if SaveAtEnd asked for it.
func (x *Exclusive) end(ctx context.Context) error {
	x.mu.Lock()
	x.setWork(nil)
	x.mu.Unlock()
	if x.over.Swap(true) {
		return nil
	}
	change, err := x.last(ctx)
	told := x.tidings()
	if err != nil || !x.saves() {
		told = nil
	}
	defer x.lost(ctx, x.fence)
	endErr := explainChange(change, x.fence.Release(ctx, x.tells(write(change), told)))
	if endErr == nil {
		x.m.heard(ctx, x.req.Node, told)
	}
	return join(err, endErr)
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
	return s.run(ctx, fn)
}

func (s *Shared) run(ctx context.Context, fn func(context.Context, *Shared) error) (err error) {
	done := false
	defer func() {
		if !done {
			_ = s.conclude(ctx, errPanicked) // the panic is what goes out
		}
	}()
	err = fn(ctx, s)
	done = true
	return s.conclude(ctx, err)
}

// conclude ends the task, or lets the background work of its upgrade take the lock over.
func (s *Shared) conclude(ctx context.Context, err error) error {
	s.over.Store(true)
	if s.working != nil {
		return s.working.conclude(ctx, err)
	}
	defer s.lost(ctx, s.lock)
	return outcome(s.req.Node, s.lock, err, s.lock.Release(ctx, lease.Write{}))
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
