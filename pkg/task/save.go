package task

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Save writes the node as the task has it, if it differs from what is stored. etcd refuses it once
// the lock is gone (lease.ErrLost); it is node.ErrStale if the record changed behind the lock's
// back, and a *node.ValidationError or *node.DuplicateError if the new values are not to be had.
//
// No write of a task ends half-way because ctx does: it blocks until etcd has answered or the
// lock is lost, so that what the task has is what etcd has.
func (x *Exclusive) Save(ctx context.Context) error { return x.save(ctx, "", nil) }

// SaveWith is Save that also makes changes of records that belong to no node: all of it under the
// fence of the lock, or nothing. Such a record is not guarded by the lock but by its revision, so
// it is node.ErrStale too if it changed. Ports and the like do not belong here: the task would not
// see them. The allocation of a node that no longer points to it goes by itself, with every write.
func (x *Exclusive) SaveWith(ctx context.Context, also ...node.Change) error {
	return x.save(ctx, "", nil, also...)
}

// SaveAtEnd makes the release write the node as it then is, in the same transaction: no reader
// sees the node unlocked in the middle of a change, and it costs etcd nothing extra.
func (x *Exclusive) SaveAtEnd() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.atEnd = true
}

// saves reports whether SaveAtEnd was called.
func (x *Exclusive) saves() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.atEnd
}

// last is the change that the release makes: none unless SaveAtEnd was called and there is one.
func (x *Exclusive) last(ctx context.Context) (node.Change, error) {
	if !x.saves() || sameRecord(x.saved, x.records.Node) {
		return node.Change{}, nil
	}
	c, _, err := x.change(ctx)
	return c, err
}

// stands reports why the task can write nothing more. It may try while the session is suspect:
// the fence decides.
func (x *Exclusive) stands() error {
	if x.over.Load() {
		return ErrReleased
	}
	return context.Cause(x.fence.Context())
}

// Restore gives up what was changed and told and not yet saved: the node is again as etcd has it.
func (x *Exclusive) Restore() { x.restore() }

// restore takes the node back to what etcd has, and with it what was told of the changes.
func (x *Exclusive) restore() {
	*x.records.Node = *x.saved.Clone()
	x.tidings()
}

// save writes the node with what was told, with the notification of a transition, and with other
// changes.
func (x *Exclusive) save(ctx context.Context, detail string, n *Notification, also ...node.Change) error {
	told := x.tidings()
	if err := x.stands(); err != nil {
		return fmt.Errorf("save node %s: %w", x.req.Node, err)
	}
	all := told
	if n != nil {
		all = append(all, n)
	}
	writes := n != nil || len(also) > 0 || !sameRecord(x.saved, x.records.Node)
	if !writes && len(told) == 0 {
		return nil
	}
	for try := 0; ; try++ {
		var change node.Change
		var frees bool
		if writes {
			var err error
			if change, frees, err = x.change(ctx); err != nil {
				return err
			}
			change = with(change, also)
		}
		w := x.tells(write(change), all)
		w.Detail = detail
		err := x.commit(ctx, change, w)
		if err == nil {
			x.m.heard(ctx, x.req.Node, told)
			if n != nil { // the subscriber hears of it with its work
				x.m.stored(x.req.Node, n)
			}
			return nil
		}
		if !frees || !outrun(err) || try == retries {
			return err
		}
	}
}

// change is the write of the node as it is now, and whether an allocation goes with it. It signs
// it with the lock.
func (x *Exclusive) change(ctx context.Context) (c node.Change, frees bool, err error) {
	node.Sign(x.records.Node, x.writer())
	if c, err = x.m.keys.Update(x.saved, x.records.Node); err != nil {
		return c, false, err
	}
	gone, err := x.freed(ctx, x.records.Node)
	return with(c, gone), len(gone) > 0, err
}

// with adds other changes to one.
func with(c node.Change, also []node.Change) node.Change {
	return node.Merge(c.What, append([]node.Change{c}, also...)...)
}

func (x *Exclusive) writer() *node.Writer {
	return &node.Writer{Ticket: x.fence.Ticket(), Token: int64(x.fence.Token())}
}

func sameRecord(a, b *node.Node) bool {
	a, b = a.Clone(), b.Clone()
	a.Meta, b.Meta = node.Meta{}, node.Meta{}
	return reflect.DeepEqual(a, b)
}

func write(c node.Change) lease.Write { return lease.Write{If: c.If, Then: c.Then, Else: c.Else} }

func (x *Exclusive) commit(ctx context.Context, c node.Change, w lease.Write) error {
	rev, err := x.fence.Commit(context.WithoutCancel(ctx), w)
	if err != nil {
		return explainChange(c, err)
	}
	c.Committed(rev)
	if x.records.Node.Revision == rev {
		x.saved = x.records.Node.Clone()
	}
	return nil
}

// explainChange puts the reason of a refused change in the place of "records changed".
func explainChange(c node.Change, err error) error {
	conflict, ok := errors.AsType[*lease.ConflictError](err)
	if !ok {
		return err
	}
	if why := c.Explain(conflict.Responses); why != nil {
		return why
	}
	return err
}

// Create adds a port, portgroup, volume connector or volume target to the node, under the lock.
func (x *Exclusive) Create(ctx context.Context, r node.Record) error {
	if err := x.owns(r); err != nil {
		return err
	}
	node.Sign(r, x.writer())
	c, err := x.m.keys.Create(r)
	if err != nil {
		return err
	}
	return x.apply(ctx, c, Told(r, Created))
}

// Update replaces a record of the node, as it was read, by a changed copy, under the lock.
func (x *Exclusive) Update(ctx context.Context, old, updated node.Record) error {
	if err := errors.Join(x.owns(old), x.owns(updated)); err != nil {
		return err
	}
	node.Sign(updated, x.writer())
	c, err := x.m.keys.Update(old, updated)
	if err != nil {
		return err
	}
	return x.apply(ctx, c, Told(updated, Updated))
}

// Delete removes a record of the node, under the lock.
func (x *Exclusive) Delete(ctx context.Context, r node.Record) error {
	if err := x.owns(r); err != nil {
		return err
	}
	c, err := x.m.keys.Delete(x.records, r)
	if err != nil {
		return err
	}
	return x.apply(ctx, c, Told(r, Deleted))
}

// owns refuses a record of another node, which this lock says nothing about, and the node itself,
// which Save writes.
func (x *Exclusive) owns(r node.Record) error {
	if r.Kind() == node.KindNode || !strings.EqualFold(string(node.Of(r)), string(x.req.Node)) {
		return fmt.Errorf("%s %s: not under the lock of node %s", r.Kind(), r.ID(), x.req.Node)
	}
	return nil
}

// apply commits a change with its notification, if further compares hold, and reads the records
// anew, so that the task has what etcd has.
func (x *Exclusive) apply(ctx context.Context, c node.Change, n Notification, also ...clientv3.Cmp) error {
	x.Tell(n)
	told := x.tidings()
	if err := x.stands(); err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	w := x.tells(write(c), told)
	w.If = append(also, w.If...)
	if err := x.commit(ctx, c, w); err != nil {
		return err
	}
	x.m.heard(ctx, x.req.Node, told)
	return x.reread(ctx, c)
}

// reread takes what etcd has after a change was made.
func (x *Exclusive) reread(ctx context.Context, c node.Change) error {
	rs, err := x.m.read(context.WithoutCancel(ctx), x.req.Node)
	if err != nil {
		return fmt.Errorf("%s is done, but: %w", c.What, err)
	}
	rs.Node = x.records.Node // with what the task has changed and not yet saved
	x.records = rs
	return nil
}

// Destroy deletes the node, everything that belongs to it, its allocation, its history, and its lock, in one
// transaction; that it did is kept under events/none/. The task is over afterwards, whatever the outcome; whoever
// waits for the lock is told that the node does not exist.
func (x *Exclusive) Destroy(ctx context.Context) error {
	if err := x.stands(); err != nil {
		return fmt.Errorf("delete node %s: %w", x.req.Node, err)
	}
	if x.working() {
		return fmt.Errorf("delete node %s: %w", x.req.Node, errWorking)
	}
	rs := *x.records
	rs.Node = x.saved // a name that was changed and not saved is not ours to free
	c, err := x.m.keys.DeleteNode(&rs)
	if err != nil {
		return err
	}
	gone, err := x.freed(ctx, nil)
	if err != nil {
		return err
	}
	c = with(c, gone)
	x.Tell(Told(x.saved, Deleted))
	told := x.tidings()
	defer x.lost(ctx, x.fence)
	err = explainChange(c, x.fence.Destroy(ctx, x.tellsUnder(node.NoNode, write(c), told)))
	x.over.Store(true)
	if err == nil {
		x.m.trimmer.forget(x.req.Node)
		x.m.heard(ctx, node.NoNode, told)
	}
	return err
}
