package lease

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Write is a transaction on records under an exclusive lock.
type Write struct {
	If     []clientv3.Cmp // further compares; give each record its mod revision, so that no late copy can land
	Then   []clientv3.Op  // puts and deletes
	Else   []clientv3.Op  // reads that explain a failed compare; they come back in a *ConflictError
	Detail string         // the event or step that begins here, noted in the intent; empty: as before
}

// Commit writes under the fence: etcd refuses it once the lock is gone. It returns the revision of
// the write. It blocks until the outcome is known or ctx ends.
//
// Errors: a *LostError if the lock is gone, a *ConflictError if the lock stands and Write.If does
// not hold, ErrNotExclusive, ErrReleased, or the cause of ctx, after which the outcome is unknown.
func (l *Lock) Commit(ctx context.Context, w Write) (rev int64, err error) {
	l.op.Lock()
	defer l.op.Unlock()
	l.mu.Lock()
	if err := l.usable(Exclusive); err != nil {
		l.mu.Unlock()
		return 0, err
	}
	intent, put := l.writeIntent(w.Detail)
	ifs := append(l.fence(), w.If...)
	l.mu.Unlock()
	ctx, stop := l.s.bind(ctx)
	defer stop()
	r, err := l.write(ctx, ifs, append(put, w.Then...), w, "commit")
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.intent = intent
	l.mu.Unlock()
	return r, nil
}

// Declare makes sure that the intent stands before the first command to the machine. A lock that
// was free when it was taken, has it already.
func (l *Lock) Declare(ctx context.Context, detail string) error {
	l.mu.Lock()
	_, put := l.writeIntent(detail)
	exclusive := l.mode == Exclusive
	l.mu.Unlock()
	if !exclusive || put == nil {
		return nil
	}
	_, err := l.Commit(ctx, Write{Detail: detail})
	return err
}

// usable reports whether the lock can be operated on in a mode. The caller holds mu.
func (l *Lock) usable(m Mode) error {
	if err := l.whyLost(); err != nil {
		return err
	}
	if l.released {
		return ErrReleased
	}
	if m == Exclusive && l.mode != Exclusive {
		return fmt.Errorf("%s: %w", l.name, ErrNotExclusive)
	}
	return nil
}

// write commits a fenced transaction and explains a refusal.
func (l *Lock) write(ctx context.Context, ifs []clientv3.Cmp, then []clientv3.Op, w Write, op string) (int64, error) {
	els := append([]clientv3.Op{
		clientv3.OpGet(l.s.keys.queue(l.name), clientv3.WithPrefix()),
		clientv3.OpGet(l.s.keys.broken(l.name)),
	}, w.Else...)
	r, twice, err := l.s.commit(ctx, ifs, then, els)
	if err != nil {
		return 0, fmt.Errorf("%s under the lock of %s: %w", op, l.name, err)
	}
	if r.Succeeded {
		return r.Header.Revision, nil
	}
	if twice {
		if rev, ok := l.landed(ctx, w.Then); ok {
			return rev, nil
		}
	}
	q := readQueue(l.s.keys, l.name, r.Responses[0].GetResponseRange().Kvs, r.Header.Revision)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := q.find(l.ticket); e != nil && e.Create == l.create && (l.slot == 0 || q.Upgrade != nil && q.Upgrade.Create == l.slot) {
		return 0, &ConflictError{Name: l.name, Responses: r.Responses[2:]}
	}
	l.s.cfg.Metrics.fenced.WithLabelValues(op).Inc()
	return 0, l.refuse(&q, r.Responses[1].GetResponseRange())
}

// refuse turns a failed fence into the loss of the lock. The caller holds mu.
func (l *Lock) refuse(q *Queue, broken *pb.RangeResponse) error {
	why := &LostError{Name: l.name, Reason: Deleted, Detail: "its entry in etcd is gone"}
	if b := readBreak(broken.Kvs); b != nil && b.Ticket == l.ticket {
		why.Reason, why.Detail = Broken, "broken by "+b.By+": "+b.Why
	} else if l.s.State() != Live {
		why.Reason, why.Detail = Expired, "the session ended"
	}
	if h := q.Holders(); len(h) > 0 {
		why.Owner = &h[0]
	}
	l.lost(why)
	if first := l.whyLost(); first != nil {
		return first
	}
	return why
}

// landed reports whether an earlier copy of a write, whose answer was lost, is what now stands.
// Our writes carry our ticket and their time, so an equal value is ours.
func (l *Lock) landed(ctx context.Context, ops []clientv3.Op) (rev int64, ok bool) {
	for _, op := range ops {
		if !op.IsPut() {
			continue
		}
		r, err := l.s.client.Get(ctx, string(op.KeyBytes()))
		if err != nil || len(r.Kvs) == 0 || string(r.Kvs[0].Value) != string(op.ValueBytes()) {
			return 0, false
		}
		rev, ok = r.Kvs[0].ModRevision, true
	}
	return rev, ok
}

// Release gives the lock up and, under its fence and in the same transaction, makes the final
// writes of an exclusive section. It works with a context that has ended, and then takes at most
// a third of the TTL. In every case the lock is not held afterwards.
//
// Errors: the *LostError if the lock was lost before (the writes are then not made), a
// *ConflictError if Write.If did not hold (the lock is released without the writes), or the
// reason why etcd did not answer; the entry is then removed in the background, and its intent
// stays if there was something to write.
func (l *Lock) Release(ctx context.Context, w Write) error { return l.release(ctx, w, false) }

// Destroy is Release for a name that ceases to exist: it also removes everybody who waits, the
// intent and the mark of a broken lock. Waiters find the lock lost, and Request.Require tells
// those who come later.
func (l *Lock) Destroy(ctx context.Context, w Write) error { return l.release(ctx, w, true) }

func (l *Lock) release(ctx context.Context, w Write, destroy bool) error {
	l.op.Lock()
	defer l.op.Unlock()
	l.mu.Lock()
	if l.released {
		l.mu.Unlock()
		return nil
	}
	need := Shared
	if destroy || len(w.Then) > 0 {
		need = Exclusive
	}
	err := l.usable(need)
	l.released, l.quiet = true, true
	mode, held, purpose := l.mode, time.Since(l.granted), l.req.Purpose
	ifs := append(l.fence(), w.If...)
	ops, bare := l.deletes(true), l.deletes(len(w.Then) == 0)
	if destroy {
		ops = []clientv3.Op{
			clientv3.OpDelete(l.s.keys.queue(l.name), clientv3.WithPrefix()),
			clientv3.OpDelete(l.s.keys.intent(l.name)), clientv3.OpDelete(l.s.keys.broken(l.name)),
		}
	}
	fence := clientv3.Compare(clientv3.CreateRevision(l.key()), "=", l.create)
	l.mu.Unlock()
	defer l.s.cfg.Metrics.released(mode, purpose, held)
	defer l.forget(ErrReleased)
	if l.whyLost() != nil {
		return err // after a loss the name is not touched
	}
	rctx, stop := l.s.bind(context.WithoutCancel(ctx))
	defer stop()
	rctx, cancel := context.WithTimeout(rctx, l.s.attempt())
	defer cancel()
	if err == nil { // not so for final writes on a shared lock, which goes all the same
		if _, err = l.write(rctx, ifs, append(ops, w.Then...), w, "release"); err == nil {
			return nil
		}
	}
	if l.whyLost() == nil {
		l.s.finish(rctx, func(ctx context.Context) error {
			_, err := l.s.client.Txn(ctx).If(fence).Then(bare...).Commit()
			return err
		})
	}
	return err
}
