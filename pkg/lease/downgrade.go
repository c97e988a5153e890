package lease

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Downgrade makes an exclusive lock shared, never waits for others, and makes the final writes of
// the exclusive section in the same transaction. The place in the queue is kept. While a foreign
// locker waits, who cannot see ranks, it returns ErrForeignWaiter and the lock stays exclusive,
// with nothing written. Other errors are those of Commit; if the outcome is unknown, rely on no
// more than a shared lock. A shared lock stays as it is.
func (l *Lock) Downgrade(ctx context.Context, w Write) error {
	l.op.Lock()
	defer l.op.Unlock()
	l.mu.Lock()
	if err := l.usable(Shared); err != nil || l.mode == Shared {
		l.mu.Unlock()
		return err
	}
	slot := l.slot
	l.quiet = true
	ops := l.unslot(true, l.touch())
	ifs := append(l.fence(), w.If...)
	l.mu.Unlock()
	defer l.loud()
	ctx, stop := l.s.bind(ctx)
	defer stop()
	if slot == 0 {
		return l.downgradeEntry(ctx, w)
	}
	_, _, err := l.write(ctx, patience{}, ifs, append(ops, w.Then...), w, "downgrade")
	if err == nil {
		l.mu.Lock()
		l.loose = nil
		l.weakened(&Entry{Mode: Shared, Create: l.create, Rank: l.rank})
		l.mu.Unlock()
	}
	return err
}

// loud ends an operation that takes the slot away, and looks at what happened meanwhile.
func (l *Lock) loud() {
	l.mu.Lock()
	l.quiet = l.dropping != nil
	l.mu.Unlock()
	l.s.mirror.track(l)
}

// downgradeEntry moves the entry to a shared key that stores the old rank. The compares are the
// fence, and that nothing has come into the queue since a read that showed no foreign entry.
func (l *Lock) downgradeEntry(ctx context.Context, w Write) error {
	st, err := l.look(ctx, 0, l.reads)
	if err != nil {
		return err
	}
	for view, seen := &st.queue, int64(0); ; {
		if _, foreign := newcomers(view, seen); foreign {
			return fmt.Errorf("%s: %w", l.name, ErrForeignWaiter)
		}
		seen = view.Revision
		l.mu.Lock()
		v := l.value()
		v.Mode, v.Rank = Shared, l.create
		ifs := append(l.fence(), w.If...)
		ifs = append(ifs, clientv3.Compare(clientv3.ModRevision(l.s.keys.queue(l.name)), "<", seen+1).WithPrefix())
		ops := append([]clientv3.Op{
			clientv3.OpDelete(l.key()),
			clientv3.OpPut(l.s.keys.entry(l.name, Shared, l.seat), v.String(), clientv3.WithLease(l.shard.id)),
		}, l.closeIntent()...)
		if l.doubt { // a late copy of the acquiring request would find its key free again
			ops = append(ops, l.s.bump())
		}
		l.mu.Unlock()
		rev, _, err := l.write(ctx, patience{}, ifs, append(ops, w.Then...), w, "downgrade")
		if err == nil {
			l.mu.Lock()
			l.weakened(&Entry{Mode: Shared, Create: rev, Rank: l.create})
			l.mu.Unlock()
			return nil
		}
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			return err
		}
		view = &conflict.queue
		if came, _ := newcomers(view, seen); !came { // so it was the caller's own compare
			return err
		}
	}
}

// newcomers reports whether a queue has entries that came after a revision, and foreign ones at all.
func newcomers(q *Queue, after int64) (came, foreign bool) {
	for _, e := range q.Entries {
		came = came || e.Mod > after
		foreign = foreign || e.Foreign
	}
	return came, foreign
}
