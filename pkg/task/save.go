package task

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

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
func (x *Exclusive) last() (node.Change, error) {
	if !x.saves() || sameRecord(x.saved, x.records.Node) {
		return node.Change{}, nil
	}
	return x.change()
}

// stands reports why the task can write nothing more. It may try while the session is suspect:
// the fence decides.
func (x *Exclusive) stands() error {
	if x.over.Load() {
		return ErrReleased
	}
	return context.Cause(x.fence.Context())
}

// restore takes the node back to what etcd has.
func (x *Exclusive) restore() { *x.records.Node = *x.saved.Clone() }

// save writes the node with further operations that belong to the same step.
func (x *Exclusive) save(ctx context.Context, detail string, n *Notification) error {
	if err := x.stands(); err != nil {
		return fmt.Errorf("save node %s: %w", x.req.Node, err)
	}
	if n == nil && sameRecord(x.saved, x.records.Node) {
		return nil
	}
	change, err := x.change()
	if err != nil {
		return err
	}
	w := write(change)
	w.Detail = detail
	if n != nil {
		w.Then = append(w.Then, x.m.record(n)...)
	}
	return x.commit(ctx, change, w)
}

// change is the write of the node as it is now. It signs it with the lock.
func (x *Exclusive) change() (node.Change, error) {
	node.Sign(x.records.Node, x.writer())
	return x.m.keys.Update(x.saved, x.records.Node)
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
	return x.apply(ctx, c)
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
	return x.apply(ctx, c)
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
	return x.apply(ctx, c)
}

// owns refuses a record of another node, which this lock says nothing about, and the node itself,
// which Save writes.
func (x *Exclusive) owns(r node.Record) error {
	var id node.ID
	switch r := r.(type) {
	case *node.Port:
		id = r.NodeUUID
	case *node.Portgroup:
		id = r.NodeUUID
	case *node.VolumeConnector:
		id = r.NodeUUID
	case *node.VolumeTarget:
		id = r.NodeUUID
	}
	if !strings.EqualFold(string(id), string(x.req.Node)) {
		return fmt.Errorf("%s %s: not under the lock of node %s", r.Kind(), r.ID(), x.req.Node)
	}
	return nil
}

// apply commits a change and reads the records anew, so that the task has what etcd has.
func (x *Exclusive) apply(ctx context.Context, c node.Change) error {
	if err := x.stands(); err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	if err := x.commit(ctx, c, write(c)); err != nil {
		return err
	}
	rs, err := x.m.read(context.WithoutCancel(ctx), x.req.Node)
	if err != nil {
		return fmt.Errorf("%s is done, but: %w", c.What, err)
	}
	rs.Node = x.records.Node // with what the task has changed and not yet saved
	x.records = rs
	return nil
}

// Destroy deletes the node, everything that belongs to it, its history, and its lock, in one transaction. The
// task is over afterwards, whatever the outcome; whoever waits for the lock is told that the node
// does not exist.
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
	err = explainChange(c, x.fence.Destroy(ctx, write(c)))
	x.over.Store(true)
	return err
}
