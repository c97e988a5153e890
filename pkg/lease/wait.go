package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// recheck is how often a waiter looks for itself, so that a lost event costs time and no more.
const recheck = 30 * time.Second

// await blocks until a read of etcd proves that the lock is held as wanted. It returns the cause
// of ctx, or of the lock's own end.
func (l *Lock) await(ctx context.Context) error {
	mode := l.wanted()
	if mode == "" {
		return nil
	}
	l.s.cfg.Metrics.waiting(mode, 1)
	defer l.s.cfg.Metrics.waiting(mode, -1)
	timer := time.NewTimer(jitter(recheck))
	defer timer.Stop()
	for {
		var rev int64
		rescue := false
		select {
		case rev = <-l.wake:
		case <-timer.C:
			timer.Reset(jitter(recheck))
			rescue = true
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if l.inherits(ctx) {
			return nil
		}
		switch held, err := l.prove(ctx, rev); {
		case err != nil:
			l.s.cfg.Logger.WarnContext(ctx, "read lock queue", "lock", l.name, "err", err)
			timer.Reset(jitter(recheck / 30))
		case held:
			if rescue {
				l.s.cfg.Metrics.rescues.Inc()
			}
			return nil
		}
	}
}

// wanted is the mode that is waited for, "" if the lock is held as wanted.
func (l *Lock) wanted() Mode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want
}

func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// prove reads how the lock stands at revision rev, or now if rev is 0, and takes the grant if it
// is there. The read is local to whichever member answers: stability makes any revision a proof,
// and the records are current because nobody else may write them while the entry is granted.
func (l *Lock) prove(ctx context.Context, rev int64) (bool, error) {
	st, err := l.look(ctx, rev, l.turnReads())
	if err == nil && st.tie {
		st, err = l.look(ctx, rev, l.reads)
	}
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.want == "" || !l.grantedIn(&st.queue) {
		return l.want == "", nil
	}
	l.grant(st)
	return true, nil
}

// turnReads are the reads that show whether it is the lock's turn.
func (l *Lock) turnReads() func(...clientv3.OpOption) []clientv3.Op {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mode == "" && l.want == Exclusive {
		return l.headReads
	}
	return l.reads
}

// grantedIn reports whether a queue proves that the lock is held as wanted. It must show the very
// slot that is waited for: an old revision may show an earlier one of the same lock. The caller
// holds mu.
func (l *Lock) grantedIn(q *Queue) bool {
	if l.slot != 0 && (q.Upgrade == nil || q.Upgrade.Create != l.slot) {
		return false
	}
	return q.holds(l.ticket) == l.want
}

// look reads how the lock stands, at a revision or now, again and again until etcd answers, ctx
// ends or the lock does.
func (l *Lock) look(ctx context.Context, rev int64, reads func(...clientv3.OpOption) []clientv3.Op) (standing, error) {
	for try := 0; ; try++ {
		var opts []clientv3.OpOption
		if rev > 0 {
			opts = []clientv3.OpOption{clientv3.WithRev(rev), clientv3.WithSerializable()}
		}
		actx, cancel := context.WithTimeout(ctx, l.s.attempt())
		start := time.Now()
		r, err := l.s.client.Txn(actx).Then(reads(opts...)...).Commit()
		cancel()
		l.s.cfg.Metrics.request("read", start, err)
		switch {
		case err == nil:
			at := r.Header.Revision
			if rev > 0 {
				at = rev
			}
			return l.standing(r.Responses, at), nil
		case rev > 0 && errors.Is(err, rpctypes.ErrFutureRev) && try < 3: // a member that lags
			select {
			case <-time.After(2 * time.Millisecond << try):
			case <-ctx.Done():
				return standing{}, context.Cause(ctx)
			}
		case rev > 0:
			rev = 0 // compacted, or no answer: ask the quorum
		case ctx.Err() != nil || !unknownOutcome(err):
			return standing{}, fmt.Errorf("read queue of %s: %w", l.name, cmp.Or(context.Cause(ctx), err))
		default: // for example between two leaders of etcd
			select {
			case <-time.After(jitter(min(20*time.Millisecond<<min(try, 6), time.Second))):
			case <-ctx.Done():
			case <-l.ctx.Done():
				return standing{}, context.Cause(l.ctx)
			}
		}
	}
}

// giveUp takes all entries of a failed acquire out of their queues and says why it failed.
// blocked is the lock that was not granted.
func (s *Session) giveUp(ctx context.Context, ls []*Lock, blocked *Lock, why error, waited time.Duration) error {
	if lost := blocked.whyLost(); lost != nil {
		why = lost
	}
	if errors.Is(why, errWaited) {
		why = &HeldError{Queue: s.mirror.view(blocked.name).without(blocked.ticket), Waited: waited}
	}
	if s.ctx.Err() != nil {
		return why // the leases take the entries
	}
	for _, l := range ls {
		l.leave(ctx)
	}
	return why
}

// inVain names who has the lock, as far as is known, when the wait was over before etcd had answered.
func (s *Session) inVain(ls []*Lock, why error, waited time.Duration) error {
	if !errors.Is(why, errWaited) {
		return why
	}
	for _, l := range ls {
		if q := s.mirror.view(l.name).without(l.ticket); !q.admits(l.req.Mode) {
			return &HeldError{Queue: q, Waited: waited}
		}
	}
	return why
}

// without is the queue as it is for others than the owner of a ticket.
func (q Queue) without(ticket string) Queue {
	q.Entries = slices.DeleteFunc(slices.Clone(q.Entries), func(e Entry) bool { return e.Ticket == ticket })
	return q
}

// leave removes the entry without waiting longer than one attempt; what etcd does not answer in
// that time goes on in the background.
func (l *Lock) leave(ctx context.Context) {
	l.mu.Lock()
	l.quiet, l.released = true, true
	ops := l.deletes(true)
	fence := created(l.key(), l.create)
	l.mu.Unlock()
	clean := func(ctx context.Context) error {
		r, err := l.s.client.Txn(ctx).If(fence).Then(ops...).Commit()
		if err == nil && r.Succeeded {
			l.vacate()
		}
		return err
	}
	l.s.finish(ctx, clean)
}
