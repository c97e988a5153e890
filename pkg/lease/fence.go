package lease

import (
	"context"
	"encoding/json"
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
// the write. It blocks until the outcome is known or ctx ends, also while etcd is full: the lock
// stands meanwhile, for leases are renewed.
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
	rev, _, err = l.write(ctx, patience{}, ifs, append(put, w.Then...), w, "commit")
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.intent = intent
	l.mu.Unlock()
	return rev, nil
}

// Proof answers the compares that prove, in the write of another lock, that this one is held too
// and exclusively: put them into that Write.If. Nothing is known of a refusal but that it was one.
//
// Errors: as Commit.
func (l *Lock) Proof() ([]clientv3.Cmp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(Exclusive); err != nil {
		return nil, err
	}
	return l.fence(), nil
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

// write commits a fenced transaction and explains a refusal. What only explains is read afterwards:
// the fence does not come back, so a lock that stands then, stood before. A downgrade must see who
// stood in its way at that very moment. The responses are nil if the answer to the transaction was lost.
func (l *Lock) write(ctx context.Context, p patience, ifs []clientv3.Cmp, then []clientv3.Op, w Write, op string) (int64, []*pb.ResponseOp, error) {
	els, atOnce := w.Else, op == "downgrade"
	if atOnce {
		els = append(l.explains(w), els...)
	}
	r, doubt, err := l.roomy(ctx, p, ifs, then, els)
	if err != nil {
		return 0, nil, fmt.Errorf("%s under the lock of %s: %w", op, l.name, err)
	}
	if r.Succeeded {
		return r.Header.Revision, r.Responses, nil
	}
	rs, rev := r.Responses, r.Header.Revision
	if !atOnce {
		now, _, err := l.s.commit(ctx, nil, l.explains(w), nil)
		if err != nil {
			return 0, nil, fmt.Errorf("%s under the lock of %s was refused; ask why: %w", op, l.name, err)
		}
		rs, rev = append(now.Responses, rs...), now.Header.Revision
	}
	q := readQueue(l.s.keys, l.name, rs[0].GetResponseRange().Kvs, rev)
	l.mu.Lock()
	defer l.mu.Unlock()
	if puts := w.puts(); doubt {
		if rev, ok := l.landed(op, &q, puts, rs[1:3+len(puts)]); ok {
			return rev, nil, nil
		}
	}
	if e := q.find(l.ticket); e != nil && e.Create == l.create && (l.slot == 0 || q.Upgrade != nil && q.Upgrade.Create == l.slot) {
		return 0, nil, &ConflictError{Name: l.name, Responses: rs[len(rs)-len(w.Else):], queue: q}
	}
	l.s.cfg.Metrics.fenced.WithLabelValues(op).Inc()
	return 0, nil, l.refuse(&q, rs[1].GetResponseRange())
}

// explains reads why a write was refused, or that an earlier copy of it was not.
func (l *Lock) explains(w Write) []clientv3.Op {
	ops := []clientv3.Op{
		clientv3.OpGet(l.s.keys.queue(l.name), clientv3.WithPrefix()),
		clientv3.OpGet(l.s.keys.broken(l.name)),
		clientv3.OpGet(l.s.keys.intent(l.name)),
	}
	for _, put := range w.puts() {
		ops = append(ops, clientv3.OpGet(string(put.KeyBytes())))
	}
	return ops
}

// puts are the first of the writes. A few tell for all: a transaction is whole.
func (w Write) puts() (puts []clientv3.Op) {
	for _, o := range w.Then {
		if o.IsPut() && len(puts) < 8 {
			puts = append(puts, o)
		}
	}
	return puts
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

// landed reports whether an earlier copy of the transaction, whose answer was lost, is what made
// this one fail. rs are the mark of a broken lock, the intent, and the keys of puts. The caller
// holds mu.
func (l *Lock) landed(op string, q *Queue, puts []clientv3.Op, rs []*pb.ResponseOp) (rev int64, ok bool) {
	e := q.find(l.ticket)
	switch op {
	case "downgrade":
		if l.slot == 0 {
			if e != nil && e.Mode == Shared {
				return e.Create, true
			}
			return 0, false
		}
		return q.Revision, e != nil && e.Mod > l.slot // touched since: the slot went with it
	case "release":
		if b := readBreak(rs[0].GetResponseRange().Kvs); e != nil || b != nil && b.Ticket == l.ticket {
			return 0, false
		}
		if len(puts) == 0 {
			return q.Revision, true
		}
		// Others may have written since. The intent tells: it went with the entry, and only with us.
		if l.intent != nil && !l.ownIntent(rs[1].GetResponseRange()) {
			return q.Revision, true
		}
	}
	for i, put := range puts {
		kvs := rs[2+i].GetResponseRange().Kvs
		// Our writes carry our ticket and their time, so an equal value is ours.
		if len(kvs) == 0 || string(kvs[0].Value) != string(put.ValueBytes()) {
			return 0, false
		}
		rev = max(rev, kvs[0].ModRevision)
	}
	return rev, len(puts) > 0
}

// ownIntent reports whether an intent is the lock's own.
func (l *Lock) ownIntent(r *pb.RangeResponse) bool {
	var i Intent
	return len(r.Kvs) > 0 && json.Unmarshal(r.Kvs[0].Value, &i) == nil && i.Ticket == l.ticket
}

// Release gives the lock up and, under its fence and in the same transaction, makes the final
// writes of an exclusive section. While etcd does not answer it takes at most the TTL and a third of
// it, or two thirds with a context that has ended. While etcd is full, writes wait until ctx ends; a
// release without any goes through. In every case the lock is not held afterwards.
//
// Errors: the *LostError if the lock was lost before (the writes are then not made, unless the
// session ended while etcd did not answer), a
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
	ops := l.deletes(true)
	if destroy {
		ops = []clientv3.Op{
			l.s.bump(),
			clientv3.OpDelete(l.s.keys.queue(l.name), clientv3.WithPrefix()),
			clientv3.OpDelete(l.s.keys.intent(l.name)), clientv3.OpDelete(l.s.keys.broken(l.name)),
		}
	}
	fence := created(l.key(), l.create)
	l.mu.Unlock()
	defer l.s.cfg.Metrics.released(mode, purpose, held)
	defer l.forget(ErrReleased)
	if l.whyLost() != nil {
		l.s.abandon([]*Lock{l}) // after a loss nothing is touched but what is our own
		return err
	}
	rctx, stop := l.s.bind(context.WithoutCancel(ctx))
	defer stop()
	p := patience{silent: l.s.attempt(), full: ctx.Done()}
	if ctx.Err() == nil { // while the session lives, an etcd that changes its leader costs no final write
		p.silent = l.s.cfg.TTL
	}
	if err == nil { // not so for final writes on a shared lock, which goes all the same
		ops = append(ops, w.Then...)
		var next *heir
		if !destroy {
			next = l.heir(mode, len(ops))
		}
		var rev int64
		var rs []*pb.ResponseOp
		rev, rs, err = l.write(rctx, p, ifs, append(ops, next.reads()...), w, "release")
		next.inherit(rs[min(len(ops), len(rs)):], rev)
		if err == nil {
			if rs != nil {
				l.vacate()
			}
			return nil
		}
	}
	if l.whyLost() != nil {
		l.s.abandon([]*Lock{l})
	} else {
		l.mu.Lock()
		bare := l.deletes(len(w.Then) == 0)
		l.mu.Unlock()
		l.s.finish(rctx, func(ctx context.Context) error {
			r, err := l.s.client.Txn(ctx).If(fence).Then(bare...).Commit()
			if err == nil && r.Succeeded {
				l.vacate()
			}
			return err
		})
	}
	return err
}
