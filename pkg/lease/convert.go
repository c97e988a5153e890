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
	mode := l.mode
	l.mu.Unlock()
	if mode == Exclusive {
		return l.rename(ctx)
	}
	start := time.Now()
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
	if err := l.placeSlot(ctx, wait == 0); err != nil {
		return err
	}
	if err := l.await(ctx); err != nil {
		return l.dropSlot(ctx, err, time.Since(start))
	}
	return nil
}

// placeSlot puts the conversion slot. It strengthens a granted entry, so it carries compares:
// nothing new has come into the queue since the view, and the first waiter is the one in the view.
// A view that is too old is replaced by the one in the refusal.
func (l *Lock) placeSlot(ctx context.Context, try bool) error {
	first, err := l.look(ctx, 0)
	if err != nil {
		return err
	}
	for view := first.queue; ; {
		if err := l.obstacle(&view, try); err != nil {
			return err
		}
		ifs, put := l.slotTxn(&view)
		r, twice, err := l.s.commit(ctx, ifs, append(put, l.reads()...), l.reads())
		if err != nil {
			if twice { // a copy of the request may still be under way
				l.s.abandonSlot(l)
			}
			return fmt.Errorf("upgrade the lock of %s: %w", l.name, err)
		}
		rs := r.Responses
		if r.Succeeded {
			rs = rs[len(put):]
		}
		st := l.standing(rs, r.Header.Revision)
		u := st.queue.Upgrade
		if u != nil && u.Ticket == l.ticket {
			l.mu.Lock()
			l.slot, l.want = u.Create, Exclusive
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
		view = st.queue
	}
}

// obstacle says why the upgrade must not even be asked for.
func (l *Lock) obstacle(view *Queue, try bool) error {
	if u := view.Upgrade; u != nil && u.Ticket != l.ticket {
		l.s.cfg.Metrics.upgradeConflicts.Inc()
		return &UpgradeConflictError{Winner: u.Entry}
	}
	if n := view.granted(); try && n > 1 {
		q := *view
		q.Entries = deleteTicket(q.Entries, l.ticket)
		return &HeldError{Queue: q}
	}
	return nil
}

// slotTxn is the transaction that places the slot in a view of the queue. The barrier is the
// first waiter's rank; without waiters it is the slot's own create revision.
func (l *Lock) slotTxn(view *Queue) ([]clientv3.Cmp, []clientv3.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := l.s.keys
	ifs := append(
		l.fence(),
		clientv3.Compare(clientv3.CreateRevision(keys.upgrade(l.name)), "=", 0),
		clientv3.Compare(clientv3.ModRevision(keys.queue(l.name)), "<", view.Revision+1).WithPrefix(),
	)
	v := l.value()
	v.Mode, v.Ticket, v.Since = Exclusive, l.ticket, time.Now().UTC().Truncate(time.Millisecond)
	if n := view.granted(); n < len(view.Entries) {
		f := view.Entries[n]
		v.Barrier = f.Rank
		ifs = append(
			ifs,
			clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.Create),
			clientv3.Compare(clientv3.ModRevision(f.Key), "=", f.Mod),
		)
	}
	noIntent := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(keys.intent(l.name)), "=", 0)}
	intent := []clientv3.Op{clientv3.OpPut(keys.intent(l.name), l.newIntent().String())}
	return ifs, []clientv3.Op{
		clientv3.OpTxn(noIntent, intent, nil),
		clientv3.OpPut(keys.upgrade(l.name), v.String(), clientv3.WithLease(l.shard.id)),
	}
}

// dropSlot gives a pending upgrade up; the lock stays shared.
func (l *Lock) dropSlot(ctx context.Context, why error, waited time.Duration) error {
	if lost := l.whyLost(); lost != nil {
		return lost
	}
	if err := context.Cause(l.s.ctx); err != nil {
		return err
	}
	q := l.s.mirror.view(l.name)
	l.mu.Lock()
	l.want, l.quiet = "", true
	fence := clientv3.Compare(clientv3.CreateRevision(l.s.keys.upgrade(l.name)), "=", l.slot)
	ops := append([]clientv3.Op{clientv3.OpDelete(l.s.keys.upgrade(l.name))}, l.closeIntent()...)
	l.mu.Unlock()
	drop := func(ctx context.Context) error {
		_, err := l.s.client.Txn(ctx).If(fence).Then(ops...).Commit()
		if err == nil {
			l.unslot()
		}
		return err
	}
	l.s.finish(ctx, drop)
	if errors.Is(why, errWaited) {
		q.Entries = deleteTicket(q.Entries, l.ticket)
		q.Upgrade = nil
		return &HeldError{Queue: q, Waited: waited}
	}
	return why
}

// abandonSlot removes a slot whose request has an unknown outcome. A copy that is still under way
// fails on the queue's mod revision, because the slot that is put here for a moment raises it.
func (s *Session) abandonSlot(l *Lock) {
	l.mu.Lock()
	l.quiet = true
	key, entry, v := l.key(), l.value(), l.shard.id
	create := l.create
	l.mu.Unlock()
	s.reap(func(ctx context.Context) error {
		_, err := s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", create)).
			Then(clientv3.OpPut(key, entry.String(), clientv3.WithLease(v)), clientv3.OpDelete(s.keys.upgrade(l.name))).Commit()
		if err == nil {
			l.unslot()
		}
		return err
	})
}

func (l *Lock) unslot() {
	l.mu.Lock()
	l.slot, l.quiet = 0, false
	l.intent = nil
	l.mu.Unlock()
	l.s.mirror.track(l)
}

// rename writes the new purpose of an exclusive lock into its entry.
func (l *Lock) rename(ctx context.Context) error {
	l.mu.Lock()
	ifs := l.fence()
	key, v := l.key(), l.value()
	if l.slot != 0 {
		key = l.s.keys.upgrade(l.name)
		v.Mode, v.Ticket = Exclusive, l.ticket
	}
	l.mu.Unlock()
	_, err := l.write(ctx, ifs, []clientv3.Op{clientv3.OpPut(key, v.String(), clientv3.WithIgnoreLease())}, Write{}, "rename")
	return err
}

// Downgrade makes an exclusive lock shared, never waits for others, and makes the final writes of
// the exclusive section in the same transaction. The place in the queue is kept. While a foreign
// locker waits, who cannot see ranks, it returns ErrForeignWaiter and the lock stays exclusive,
// with nothing written. Other errors are those of Commit. A shared lock stays as it is.
func (l *Lock) Downgrade(ctx context.Context, w Write) error {
	l.op.Lock()
	defer l.op.Unlock()
	l.mu.Lock()
	if err := l.usable(Shared); err != nil || l.mode == Shared {
		l.mu.Unlock()
		return err
	}
	if l.slot == 0 {
		l.mu.Unlock()
		return l.downgradeEntry(ctx, w)
	}
	l.quiet = true
	ops := append([]clientv3.Op{clientv3.OpDelete(l.s.keys.upgrade(l.name))}, l.closeIntent()...)
	ifs := append(l.fence(), w.If...)
	l.mu.Unlock()
	_, err := l.write(ctx, ifs, append(ops, w.Then...), w, "downgrade")
	l.downgraded(err, func() { l.slot = 0 })
	return err
}

// downgradeEntry moves the entry to a shared key that stores the old rank. The compares are the
// fence, and that nothing has come into the queue since a read that showed no foreign entry.
func (l *Lock) downgradeEntry(ctx context.Context, w Write) error {
	var seen int64
	for {
		st, err := l.look(ctx, 0)
		if err != nil {
			return err
		}
		if came, foreign := newcomers(&st.queue, seen); foreign {
			return fmt.Errorf("%s: %w", l.name, ErrForeignWaiter)
		} else if seen > 0 && !came { // so it was the caller's own compare
			return &ConflictError{Name: l.name}
		}
		seen = st.queue.Revision
		l.mu.Lock()
		l.quiet = true
		v := l.value()
		v.Mode, v.Rank = Shared, l.create
		ifs := append(l.fence(), w.If...)
		ifs = append(ifs, clientv3.Compare(clientv3.ModRevision(l.s.keys.queue(l.name)), "<", seen+1).WithPrefix())
		ops := append([]clientv3.Op{
			clientv3.OpDelete(l.key()),
			clientv3.OpPut(l.s.keys.entry(l.name, Shared, l.ticket), v.String(), clientv3.WithLease(l.shard.id)),
		}, l.closeIntent()...)
		l.mu.Unlock()
		rev, err := l.write(ctx, ifs, append(ops, w.Then...), w, "downgrade")
		if len(w.If) == 0 && errors.Is(err, ErrConflict) {
			seen = 0
			continue
		}
		l.downgraded(err, func() { l.entry, l.rank, l.create = Shared, l.create, rev })
		if errors.Is(err, ErrConflict) {
			continue
		}
		return err
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

func (l *Lock) downgraded(err error, done func()) {
	l.mu.Lock()
	if err == nil {
		done()
		l.s.cfg.Metrics.downgraded()
		l.mode, l.intent = Shared, nil
		if l.settled {
			l.left = nil
		}
	}
	l.quiet = false
	l.mu.Unlock()
	l.s.mirror.track(l)
}
