package task

import (
	"context"
	"errors"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Edit is the right to change a node's record, and nothing else.
type Edit interface {
	// Node is the node as it stands; what is changed in it is written when the function returns nil.
	Node() *node.Node
	// Tell adds a notification to that write, as Exclusive.Tell says.
	Tell(n Notification)
	// Abandoned returns what a dead holder left undone, nil if nothing.
	Abandoned() *lease.Intent
	// Settle says that the abandoned section has been dealt with.
	Settle()
}

// Edit runs fn to change the record of a node that nobody else is at work on, and writes it, with
// what was told, in one transaction. If nobody holds the node's lock or waits for it, and no section
// was abandoned, no lock is taken: the transaction goes through only if that is still so and the
// record is as fn saw it. Otherwise fn runs once more, under the exclusive lock, with the record as
// it stands by then.
//
// Fn may thus run twice: it must change nothing but the node that it gets, and what it does to its
// caller's variables must be undone by the second run. It gives no command, and looks at no port.
//
// It blocks for the lock as Request.Wait says. Errors: what fn returns; those of Exclusive, and of
// its Save; lease.ErrUnknown, or the loss of the session, if nobody can tell whether the record was
// written.
func (m *Manager) Edit(ctx context.Context, r Request, fn func(context.Context, Edit) error) error {
	r.NoDriver, r.brief = true, true
	err := m.edit(ctx, &r, fn)
	if !errors.Is(err, errWantsLock) {
		return err
	}
	return m.Exclusive(ctx, r, func(ctx context.Context, x *Exclusive) error {
		if err := fn(ctx, x); err != nil {
			return err
		}
		x.SaveAtEnd()
		return nil
	})
}

// errWantsLock means that nothing was written and that the lock has an answer to what was in the way.
var errWantsLock = errors.New("not to be had without the lock")

// edit is Edit without a lock.
func (m *Manager) edit(ctx context.Context, r *Request, fn func(context.Context, Edit) error) (err error) {
	if err := m.prepare(r); err != nil {
		return err
	}
	defer m.tasks.Done()
	defer m.cfg.Metrics.begin("edit")(&err)
	ctx, cancel := m.bind(ctx)
	defer cancel()
	s, err := m.cfg.Sessions.Current()
	if err != nil {
		return errors.Join(errWantsLock, err)
	}
	free, err := s.Free(ctx, string(r.Node), m.keys.Node(r.Node))
	if err != nil {
		return errors.Join(errWantsLock, err)
	}
	c := &core{m: m, req: *r, who: hardware.Actor{Conductor: s.Holder()}}
	rs, err := m.keys.Decode(r.Node, free.Records().KVs)
	if err == nil {
		err = c.load(rs)
	}
	if err != nil {
		return errors.Join(errWantsLock, err)
	}
	e := &edit{core: c, free: free, saved: rs.Node.Clone()}
	defer c.over.Store(true)
	if err := fn(ctx, e); err != nil {
		return err
	}
	return e.save(ctx)
}

// edit is an Edit without a lock.
type edit struct {
	*core
	free  *lease.Free
	saved *node.Node // as it was read
	told  []*Notification
}

// Tell implements Edit.
func (e *edit) Tell(n Notification) {
	n.complete()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over.Load() || len(e.told) >= maxTold {
		e.m.dropped(e.req.Node, &n)
		return
	}
	e.told = append(e.told, &n)
}

// Abandoned implements Edit: a node whose last section was abandoned is not edited without a lock.
func (e *edit) Abandoned() *lease.Intent { return nil }

// Settle implements Edit.
func (e *edit) Settle() {}

// save writes the node, if it was changed. As any write of a task, it does not end with ctx. What is
// told of a node that stays as it is, has no record to guard it, and takes the lock.
func (e *edit) save(ctx context.Context) error {
	if sameRecord(e.saved, e.records.Node) {
		if len(e.told) > 0 {
			return errWantsLock
		}
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	node.Sign(e.records.Node, &node.Writer{Ticket: e.free.Ticket(), Token: int64(e.free.Token())})
	c, err := e.m.keys.Update(e.saved, e.records.Node)
	if err != nil {
		return err
	}
	gone, err := e.m.freed(ctx, e.saved, e.records.Node)
	if err != nil {
		return err
	}
	c = with(c, gone)
	for _, n := range e.told {
		e.sign(n, e.free.Token())
	}
	w := write(c)
	w.Then = append(w.Then[:len(w.Then):len(w.Then)], e.m.record(e.req.Node, e.told...)...)
	rev, err := e.free.Write(ctx, w)
	switch err = explainChange(c, err); {
	case err == nil:
	case errors.Is(err, lease.ErrHeld), errors.Is(err, lease.ErrAbandoned), outrun(err):
		return errors.Join(errWantsLock, err)
	default:
		return err
	}
	c.Committed(rev)
	e.m.heard(ctx, e.req.Node, e.told)
	return nil
}
