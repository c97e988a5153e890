package lease

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// attempt bounds one request to etcd, so that a lost answer is noticed and the request repeated.
func (s *Session) attempt() time.Duration { return s.cfg.TTL / 3 }

// commit sends a transaction until its outcome is known or ctx ends. Each transaction of this
// package may be sent twice: its compares make the second copy harmless, and the caller finds the
// first one's work in the answer. Doubt tells that a copy may have been committed, or may yet be,
// whose answer this is not.
func (s *Session) commit(ctx context.Context, ifs []clientv3.Cmp, then, els []clientv3.Op) (r *clientv3.TxnResponse, doubt bool, err error) {
	t := txn{ifs: ifs, then: then, els: els}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		a := s.batch.send(ctx, t)
		doubt = doubt || a.doubt
		if a.err == nil {
			if a.r.Header.ClusterId != s.cluster {
				s.lose(otherEtcd)
				return nil, false, context.Cause(s.ctx)
			}
			return a.r, doubt, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, doubt, cause
		}
		if errors.Is(a.err, rpctypes.ErrLeaseNotFound) {
			s.lose(leaseGone)
			return nil, false, context.Cause(s.ctx)
		}
		if !unknownOutcome(a.err) {
			return nil, doubt, a.err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, doubt, context.Cause(ctx)
		}
	}
}

// unknownOutcome reports whether a request may have been committed although it failed, or may
// succeed if sent again.
func unknownOutcome(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	if etcd, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return etcd.Code() == codes.Unavailable
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
		return true
	}
	return false
}

// reap runs clean-up that nobody waits for until it succeeds or the session ends, whose leases
// then take what is left.
func (s *Session) reap(clean func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Lost || s.state == Closed {
		return
	}
	s.wg.Go(func() {
		for wait := 50 * time.Millisecond; s.ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
			ctx, cancel := context.WithTimeout(s.ctx, s.attempt())
			err := clean(ctx)
			cancel()
			if err == nil {
				return
			}
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
			}
		}
	})
}

// finish runs clean-up once now and, if that does not succeed, on in the background.
func (s *Session) finish(ctx context.Context, clean func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.attempt())
	defer cancel()
	if ctx.Err() != nil || clean(ctx) != nil {
		s.reap(clean)
	}
}

// abandon gives locks up whose request has an unknown outcome, so that not even a copy of the
// request that is still under way can leave an entry behind: it bumps the session's key, whose mod
// revision every enqueue compares, and deletes entries and intents, in one transaction.
func (s *Session) abandon(ls []*Lock) {
	ops := []clientv3.Op{s.bump()}
	for _, l := range ls {
		l.mu.Lock()
		held := l.mode != ""
		for _, m := range []Mode{Exclusive, Shared} {
			ops = append(ops, clientv3.OpDelete(s.keys.entry(l.name, m, l.seat)))
		}
		ops = append(ops, l.unslot(false)...)
		l.mu.Unlock()
		if l.draft != "" && !held { // the intent of a section that never began
			intent := s.keys.intent(l.name)
			ours := []clientv3.Cmp{clientv3.Compare(clientv3.Value(intent), "=", l.draft)}
			ops = append(ops, clientv3.OpTxn(ours, []clientv3.Op{clientv3.OpDelete(intent)}, nil))
		}
	}
	s.reap(func(ctx context.Context) error {
		r, err := s.client.Txn(ctx).
			If(created(s.key, s.epoch)).
			Then(ops...).Commit()
		if err == nil && r.Succeeded {
			s.bumped(r.Header.Revision)
		}
		return err
	})
}

// bump raises the mod revision of the session's key and leaves what it says.
func (s *Session) bump() clientv3.Op {
	return clientv3.OpPut(s.key, "", clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease())
}

// bumped notes a newer mod revision of the session's key.
func (s *Session) bumped(mod int64) {
	s.mu.Lock()
	s.mod = max(s.mod, mod)
	s.mu.Unlock()
}
