package task

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Told is the notification that a record is Created, Updated or Deleted. Records that belong to
// nobody have no node.
func Told(r node.Record, action string) Notification {
	n := Notification{Type: TypeOf(r.Kind(), action), Object: r.ID(), Node: node.Of(r)}
	if r, ok := r.(*node.Node); ok {
		n.describe(r)
	}
	return n
}

// Create adds a record without a lock, as node.Store.Create does, with its notification.
func (m *Manager) Create(ctx context.Context, r node.Record, user string) error {
	c, err := m.keys.Create(r)
	if err != nil {
		return err
	}
	n := Told(r, Created)
	n.User = user
	_, err = m.Commit(ctx, c, n)
	return err
}

// Commit makes a change that needs no lock, as node.Store.Commit does, and stores what is told of
// it in the same transaction. Type and Node are to be given, and what belongs to the type; Told
// does. What is about no node is kept beside the events of nodes.
func (m *Manager) Commit(ctx context.Context, c node.Change, told ...Notification) (revision int64, err error) {
	if err := m.pool.enter(&m.tasks); err != nil {
		return 0, err
	}
	defer m.tasks.Done()
	var publisher string
	if s, err := m.cfg.Sessions.Current(); err == nil {
		publisher = s.Holder()
	}
	for i := range told {
		n := &told[i]
		n.complete()
		n.Publisher = publisher
		c.Then = append(c.Then[:len(c.Then):len(c.Then)], m.record(n.place(), n)...)
	}
	revision, err = node.NewStore(m.cfg.Client, m.cfg.Root).Commit(ctx, c)
	if err != nil {
		return 0, err
	}
	for i := range told {
		m.stored(told[i].place(), &told[i])
		m.notify(ctx, &told[i])
	}
	return revision, nil
}

// place is the node among whose events a notification belongs.
func (n *Notification) place() node.ID {
	if n.Node == "" {
		return node.NoNode
	}
	return n.Node
}
