package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Upgrade makes a shared lock exclusive, with a new purpose unless that is empty. Readers that
// hold the lock beside it are waited for, up to wait (0: not at all; Patient: as long as ctx
// lives), and new ones are held back; who waited before keeps waiting. The records are read anew.
// On an exclusive lock it only changes the purpose.
//
// Errors: a *HeldError if others did not leave in time, an *UpgradeConflictError if another holder
// upgrades, or those of Acquire. Unless the lock is lost, it is still held, shared, after an error.
func (l *Lock) Upgrade(ctx context.Context, purpose string, wait time.Duration) (err error) {
	l.op.Lock()
	defer l.op.Unlock()
	l.mu.Lock()
	if err := l.usable(Shared); err != nil {
		l.mu.Unlock()
		return err
	}
	old := l.req.Purpose
	if purpose != "" {
		l.req.Purpose = purpose
	}
	mode, start := l.mode, time.Now()
	l.asked = start
	l.mu.Unlock()
	if mode == Exclusive {
		return l.rename(ctx)
	}
	defer func() {
		l.s.cfg.Metrics.upgraded(time.Since(start), err)
		if err != nil {
			l.mu.Lock()
			l.want, l.req.Purpose = "", old
			l.mu.Unlock()
		}
	}()
	if err := l.s.Check(); err != nil {
		return err
	}
	ctx, stop := l.s.bind(ctx)
	defer stop()
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, start.Add(wait), errWaited)
		defer cancel()
	}
	if err := l.slotGone(ctx); err != nil {
		return err
	}
	if err = l.placeSlot(ctx, wait == 0); err == nil {
		err = l.await(ctx)
	}
	if err != nil {
		return l.dropSlot(ctx, err, old, time.Since(start))
	}
	return nil
}

// slotGone waits until a slot that was given up earlier is gone for certain.
func (l *Lock) slotGone(ctx context.Context) error {
	l.mu.Lock()
	dropping := l.dropping
	l.mu.Unlock()
	if dropping == nil {
		return nil
	}
	select {
	case <-dropping:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("upgrade the lock of %s: %w", l.name, context.Cause(ctx))
	}
}

// placeSlot puts the conversion slot. It strengthens a granted entry, so it carries compares:
// nothing new has come into the queue since the view, and the first waiter is the one in the view.
// A view that is too old is replaced by the one in the refusal.
func (l *Lock) placeSlot(ctx context.Context, try bool) error {
	first, err := l.look(ctx, 0, l.reads)
	if err != nil {
		return err
	}
	for st := first; ; {
		if err := l.obstacle(st, try); err != nil {
			return err
		}
		if err := l.sweep(ctx, st); err != nil {
			return err
		}
		ifs, put := l.slotTxn(&st.queue)
		r, twice, err := l.s.commit(ctx, ifs, append(put, l.reads()...), l.reads())
		if !twice { // no copy is under way
			l.mu.Lock()
			l.loose = l.loose[:len(l.loose)-1]
			l.mu.Unlock()
		}
		if err != nil {
			return fmt.Errorf("upgrade the lock of %s: %w", l.name, err)
		}
		rs := r.Responses
		if r.Succeeded {
			rs = rs[len(put):]
		}
		st = l.standing(rs, r.Header.Revision)
		u := st.queue.Upgrade
		if u != nil && u.Ticket == l.ticket {
			l.mu.Lock()
			l.slot, l.barrier, l.want = u.Create, u.Barrier, Exclusive
			l.meetIntent(st)
			if st.queue.holds(l.ticket) == Exclusive {
				l.grant(st)
			}
			l.mu.Unlock()
			l.s.mirror.track(l)
			return nil
		}
		if st.queue.find(l.ticket) == nil {
			l.s.mirror.resync()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lost(&LostError{Name: l.name, Reason: Deleted, Detail: "its entry in etcd is gone"})
			return context.Cause(l.ctx)
		}
	}
}

// sweep deletes a slot whose entry is gone. It means nothing, but it is in the way of the next.
func (l *Lock) sweep(ctx context.Context, st standing) error {
	if st.orphan == 0 {
		return nil
	}
	slot := l.s.keys.upgrade(l.name)
	_, _, err := l.s.commit(ctx, []clientv3.Cmp{created(slot, st.orphan)},
		[]clientv3.Op{clientv3.OpDelete(slot)}, nil)
	if err != nil {
		return fmt.Errorf("sweep the lock queue of %s: %w", l.name, err)
	}
	return nil
}

// obstacle says why the upgrade must not even be asked for.
func (l *Lock) obstacle(st standing, try bool) error {
	view := &st.queue
	if u := view.Upgrade; u != nil && u.Ticket != l.ticket {
		l.s.cfg.Metrics.upgradeConflicts.Inc()
		return &UpgradeConflictError{Winner: u.Entry}
	}
	if n := view.granted(); try && n > 1 {
		return &HeldError{Queue: l.explained(st).without(l.ticket)}
	}
	return nil
}

// slotTxn is the transaction that places the slot in a view of the queue. The barrier is the
// first waiter's rank; without waiters it is the slot's own create revision. The slot is loose
// until the answer says otherwise.
func (l *Lock) slotTxn(view *Queue) ([]clientv3.Cmp, []clientv3.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := l.s.keys
	ifs := append(
		l.fence(),
		created(keys.upgrade(l.name), 0),
		clientv3.Compare(clientv3.ModRevision(keys.queue(l.name)), "<", view.Revision+1).WithPrefix(),
	)
	v := l.value()
	v.Mode, v.Since = Exclusive, time.Now().UTC().Truncate(time.Millisecond)
	if n := view.granted(); n < len(view.Entries) {
		f := view.Entries[n]
		v.Barrier = f.Rank
		ifs = append(
			ifs,
			created(f.Key, f.Create),
			clientv3.Compare(clientv3.ModRevision(f.Key), "=", f.Mod),
		)
	}
	x := looseSlot{slot: v.String(), intent: l.newIntent().String()}
	l.loose = append(l.loose, x)
	noIntent := []clientv3.Cmp{created(keys.intent(l.name), 0)}
	intent := []clientv3.Op{clientv3.OpPut(keys.intent(l.name), x.intent)}
	return ifs, []clientv3.Op{
		clientv3.OpTxn(noIntent, intent, nil),
		clientv3.OpPut(keys.upgrade(l.name), x.slot, clientv3.WithLease(l.shard.id)),
	}
}

// dropSlot gives an upgrade up that did not come about, with whatever a copy of its request may
// have placed or may yet place; the lock stays shared, for its old purpose.
func (l *Lock) dropSlot(ctx context.Context, why error, purpose string, waited time.Duration) error {
	if lost := l.whyLost(); lost != nil {
		return lost
	}
	if err := context.Cause(l.s.ctx); err != nil {
		return err
	}
	q := l.s.mirror.view(l.name).without(l.ticket)
	l.mu.Lock()
	placed := l.slot != 0
	l.req.Purpose = purpose
	if placed || len(l.loose) > 0 {
		l.want, l.quiet = "", true
		gone := make(chan struct{})
		l.dropping = gone
		stands := created(l.key(), l.create)
		ops := l.unslot(true, l.touch())
		l.mu.Unlock()
		l.s.finish(ctx, func(ctx context.Context) error {
			_, err := l.s.client.Txn(ctx).If(stands).Then(ops...).Commit()
			if err == nil {
				l.dropped(gone)
			}
			return err
		})
	} else {
		l.mu.Unlock()
	}
	if errors.Is(why, errWaited) && (placed || len(q.Entries) > 0) {
		q.Upgrade = nil
		return &HeldError{Queue: q, Waited: waited}
	}
	return why
}

// touch writes the entry as it is. A late copy of a request for a slot then fails, because nothing
// in the queue may be newer than what it has seen. The caller holds mu.
func (l *Lock) touch() clientv3.Op {
	return clientv3.OpPut(l.key(), l.value().String(), clientv3.WithLease(l.shard.id))
}

func (l *Lock) dropped(gone chan struct{}) {
	l.mu.Lock()
	l.slot, l.loose, l.intent, l.quiet, l.dropping = 0, nil, nil, false, nil
	l.mu.Unlock()
	close(gone)
	l.s.mirror.track(l)
}

// rename writes the new purpose of an exclusive lock into its entry.
func (l *Lock) rename(ctx context.Context) error {
	l.mu.Lock()
	ifs := l.fence()
	key, v := l.key(), l.value()
	if l.slot != 0 {
		key = l.s.keys.upgrade(l.name)
		v.Mode, v.Barrier = Exclusive, l.barrier
	}
	l.mu.Unlock()
	ctx, stop := l.s.bind(ctx)
	defer stop()
	_, _, err := l.write(ctx, patience{}, ifs, []clientv3.Op{clientv3.OpPut(key, v.String(), clientv3.WithIgnoreLease())}, Write{}, "rename")
	return err
}
