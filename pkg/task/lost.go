package task

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

const (
	maxLosses  = 32               // that are written down at once: with a session, all its locks go
	lossTry    = 5 * time.Second  // for one try, within closeGrace
	lossTrying = 30 * time.Second // for all tries
	lossPause  = time.Second
)

// lost tells that a task lost its lock, if it did, when the task has ended: to the subscriber at
// once, and to etcd as well as can be. A conductor that lost its locks has often lost etcd too, so
// it tries for a while, in the background and not after Close. What is more than maxLosses at a
// time is only logged, as the loss itself was.
func (c *core) lost(ctx context.Context, l *lease.Lock) {
	why, ok := errors.AsType[*lease.LostError](context.Cause(l.Context()))
	if !ok {
		return
	}
	select {
	case c.m.losses <- struct{}{}:
	default:
		c.m.cfg.Logger.WarnContext(ctx, "notification dropped: too many at once", "node", c.req.Node, "type", LockLost)
		return
	}
	n := &Notification{
		Type: LockLost, Level: LevelWarning, At: now(), Publisher: c.who.Conductor, Node: c.req.Node, Name: c.records.Node.Name,
		Holder: c.who.Conductor, Reason: string(why.Reason), Since: c.since, Purpose: c.req.Purpose, Task: c.req.ID, Token: l.Token(), User: c.req.User,
	}
	if why.Owner != nil {
		n.Owner = why.Owner.Holder
	}
	ops := c.m.record(n.Node, n)
	ctx = context.WithoutCancel(ctx)
	c.m.tasks.Go(func() {
		defer func() { <-c.m.losses }()
		c.m.notify(ctx, n)
		if err := c.m.writeLoss(ctx, n, ops); err != nil {
			c.m.cfg.Logger.WarnContext(ctx, "notification dropped", "node", n.Node, "type", n.Type, "err", err)
		}
	})
}

// writeLoss stores a notification without a lock, once, and not for a node that is gone.
func (m *Manager) writeLoss(ctx context.Context, n *Notification, ops []clientv3.Op) error {
	start, key := time.Now(), m.keys.Events(n.Node)+n.ID
	for {
		try, cancel := context.WithTimeoutCause(ctx, lossTry, fmt.Errorf("no answer within %s", lossTry))
		r, err := m.cfg.Client.Txn(try).
			If(clientv3.Compare(clientv3.CreateRevision(m.keys.Node(n.Node)), ">", 0), clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(ops...).Commit()
		cancel()
		if err == nil {
			if r.Succeeded {
				m.stored(n.Node, n)
			}
			return nil
		}
		if time.Since(start) > lossTrying {
			return err
		}
		select {
		case <-time.After(lossPause):
		case <-m.ctx.Done():
			return errors.Join(context.Cause(m.ctx), err)
		}
	}
}
