package lease

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// enter puts the entries into their queues, once, however often the request had to be sent.
func (s *Session) enter(ctx context.Context, ls []*Lock, try bool) (err error) {
	doubt := false // a copy of the request may still be under way
	defer func() {
		switch {
		case err != nil && doubt:
			s.abandon(ls)
		case err != nil: // it was refused, or never sent
			for _, l := range ls {
				l.vacate()
			}
		}
	}()
	if len(ls) == 1 {
		done, twice, err := ls[0].enterQuickly(ctx, try)
		if doubt = twice; done || err != nil {
			return err
		}
	}
	for round := 0; ; round++ {
		if round > 2 { // each refusal has its cause, but no cause may make this spin
			select {
			case <-time.After(jitter(20 * time.Millisecond)):
			case <-ctx.Done():
				return fmt.Errorf("lock %s: %w", ls[0].name, context.Cause(ctx))
			}
		}
		mod, ifs := s.unbumped()
		then, els := []clientv3.Op{}, []clientv3.Op{clientv3.OpGet(s.key)}
		for _, l := range ls {
			c, t, e := l.entering(try)
			ifs = append(ifs, c...)
			if len(ls) == 1 { // it may stand in the other mode, downgraded, when a late copy comes
				ifs = append(ifs, created(s.keys.entry(l.name, Shared, l.seat), 0))
			} else { // within the limit of operations per level
				t, e = []clientv3.Op{clientv3.OpTxn(nil, t, nil)}, []clientv3.Op{clientv3.OpTxn(nil, e, nil)}
			}
			then, els = append(then, t...), append(els, e...)
		}
		r, twice, err := s.commit(ctx, ifs, then, els)
		doubt = doubt || twice
		if err != nil {
			return fmt.Errorf("lock %s: %w", ls[0].name, err)
		}
		for _, l := range ls {
			l.doubt = doubt
		}
		if r.Succeeded {
			for i, l := range ls {
				rs := block(r.Responses, i, len(ls))
				l.entered(l.standing(rs[len(rs)-2-len(l.req.Read):], r.Header.Revision))
			}
			return nil
		}
		done, err := s.refused(ctx, ls, r, mod, try)
		if err != nil || done {
			return err
		}
	}
}

// unbumped is true while no request of this session has been abandoned since.
func (s *Session) unbumped() (mod int64, ifs []clientv3.Cmp) {
	s.mu.Lock()
	mod = s.mod
	s.mu.Unlock()
	return mod, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key), "=", mod)}
}

// enterQuickly guesses how the queue stands, and asks etcd for no more than that takes. If the guess
// is wrong, nothing is done.
func (l *Lock) enterQuickly(ctx context.Context, try bool) (done, doubt bool, err error) {
	switch {
	case l.s.seemsFree(l):
		return l.enterFree(ctx)
	case !try && !l.s.mirror.admits(l.name, l.req.Mode):
		return l.enterBehind(ctx)
	}
	return false, false, nil
}

// enterBehind enters a queue in which others are known to stand before it, and learns from the
// mirror when that ends.
func (l *Lock) enterBehind(ctx context.Context) (done, doubt bool, err error) {
	_, ifs := l.s.unbumped()
	for _, m := range []Mode{Exclusive, Shared} { // a copy of this request may have come first
		ifs = append(ifs, created(l.s.keys.entry(l.name, m, l.seat), 0))
	}
	if l.req.Require != "" {
		ifs = append(ifs, clientv3.Compare(clientv3.CreateRevision(l.req.Require), ">", 0))
	}
	put := clientv3.OpPut(l.key(), l.value().String(), clientv3.WithLease(l.shard.id))
	r, doubt, err := l.s.commit(ctx, ifs, []clientv3.Op{put}, nil)
	l.doubt = doubt
	if err != nil {
		return false, doubt, fmt.Errorf("lock %s: %w", l.name, err)
	}
	if !r.Succeeded {
		return false, doubt, nil
	}
	l.mu.Lock()
	l.create = r.Header.Revision
	l.mu.Unlock()
	l.s.mirror.track(l)
	return true, doubt, nil
}

// seemsFree reports whether nobody is known to hold a lock or to want it but l.
func (s *Session) seemsFree(l *Lock) bool {
	s.mu.Lock()
	alone := s.names[l.name] == 1
	s.mu.Unlock()
	return alone && s.mirror.vacant(l.name)
}

// enterFree enters the queue of a lock that seems free. If it is, with no intent left, the reply
// needs no proof but that: the queue is the new entry. If it is not, nothing is done.
func (l *Lock) enterFree(ctx context.Context) (done, doubt bool, err error) {
	keys := l.s.keys
	_, ifs := l.s.unbumped()
	ifs = append(ifs, keys.free(l.name, Exclusive)...)
	if l.req.Require != "" {
		ifs = append(ifs, clientv3.Compare(clientv3.CreateRevision(l.req.Require), ">", 0))
	}
	value := l.value()
	then := append(make([]clientv3.Op, 0, 4), clientv3.OpPut(l.key(), value.String(), clientv3.WithLease(l.shard.id)))
	if l.req.Mode == Exclusive {
		ifs = append(ifs, created(keys.intent(l.name), 0))
	}
	if l.intends() {
		then = append(then, clientv3.OpPut(keys.intent(l.name), l.draft))
	}
	puts := len(then)
	r, doubt, err := l.s.commit(ctx, ifs, append(then, l.readRecords()...), nil)
	l.doubt = doubt
	if err != nil {
		return false, doubt, fmt.Errorf("lock %s: %w", l.name, err)
	}
	if !r.Succeeded {
		return false, doubt, nil
	}
	l.enteredFree(r.Responses[puts:], r.Header.Revision)
	return true, doubt, nil
}

// intends reports whether the acquiring transaction writes an intent, if the lock is free, and
// drafts it.
func (l *Lock) intends() bool {
	if l.req.Mode != Exclusive || l.req.Brief {
		return false
	}
	if l.draft == "" {
		l.draft = l.newIntent().String()
	}
	return true
}

// enteredFree takes note of an entry that is the whole queue.
func (l *Lock) enteredFree(records []*pb.ResponseOp, rev int64) {
	l.mu.Lock()
	l.create = rev
	st := standing{queue: Queue{Name: l.name, Revision: rev}, records: Records{Revision: rev}}
	st.records.take(records)
	l.grant(st)
	if l.draft != "" {
		l.intent = l.newIntent()
		l.intent.Token = Token(rev)
	}
	l.mu.Unlock()
	l.s.mirror.track(l)
}

// entering makes the compares and operations that put the lock's entry and read with it.
func (l *Lock) entering(try bool) (ifs []clientv3.Cmp, then, els []clientv3.Op) {
	keys, id := l.s.keys, l.shard.id
	ifs = []clientv3.Cmp{created(l.key(), 0)}
	if l.req.Require != "" {
		ifs = append(ifs, clientv3.Compare(clientv3.CreateRevision(l.req.Require), ">", 0))
	}
	if try {
		ifs = append(ifs, keys.free(l.name, l.req.Mode)...)
	}
	reads := l.reads()
	if l.intends() {
		// Compares of a nested transaction see the state before the outer one.
		alone := append(keys.free(l.name, Exclusive), created(keys.intent(l.name), 0))
		then = append(then, clientv3.OpTxn(alone, []clientv3.Op{clientv3.OpPut(keys.intent(l.name), l.draft)}, nil))
	}
	then = append(then, clientv3.OpPut(l.key(), l.value().String(), clientv3.WithLease(id)))
	els = append(els, reads...)
	if l.req.Require != "" {
		els = append(els, clientv3.OpGet(l.req.Require, clientv3.WithCountOnly()))
	}
	return ifs, append(then, reads...), els
}

// block is the part of a reply that belongs to lock i of n; els replies have the session's key first.
func block(rs []*pb.ResponseOp, i, n int) []*pb.ResponseOp {
	if n == 1 {
		return rs
	}
	return rs[i].GetResponseTxn().Responses
}

// refused looks at why the entries were not put: done means that an earlier copy of the request
// had put them.
func (s *Session) refused(ctx context.Context, ls []*Lock, r *clientv3.TxnResponse, mod int64, try bool) (done bool, err error) {
	kvs := r.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 || kvs[0].CreateRevision != s.epoch {
		s.lose(keyGone)
		return false, context.Cause(s.ctx)
	}
	sts := make([]standing, len(ls))
	mine := 0
	var missing *Lock
	for i, l := range ls {
		rs := block(r.Responses[1:], i, len(ls))
		sts[i] = l.standing(rs[:2+len(l.req.Read)], r.Header.Revision)
		if sts[i].queue.find(l.ticket) != nil {
			mine++
			continue
		}
		missing = l
		if l.req.Require != "" && rs[len(rs)-1].GetResponseRange().Count == 0 {
			return false, fmt.Errorf("%s: %w", l.name, ErrMissing)
		}
	}
	if mine == len(ls) {
		for i, l := range ls {
			l.entered(sts[i])
		}
		return true, nil
	}
	if mine > 0 { // an earlier copy had put them all
		return false, &LostError{Name: missing.name, Reason: Deleted, Detail: "its entry in etcd was deleted while its request was under way"}
	}
	if kvs[0].ModRevision != mod { // bumped meanwhile: send again
		s.bumped(kvs[0].ModRevision)
		return false, nil
	}
	for i, l := range ls {
		if try && !sts[i].queue.admits(l.req.Mode) {
			return false, &HeldError{Queue: l.explained(sts[i])}
		}
	}
	for i, l := range ls {
		if err := l.sweep(ctx, sts[i]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// entered takes note of the entry; if it is granted already, that reply is the proof.
func (l *Lock) entered(st standing) {
	l.mu.Lock()
	e := st.queue.find(l.ticket)
	l.create = e.Create
	if st.queue.holds(l.ticket) == l.want {
		l.grant(st)
	}
	l.mu.Unlock()
	l.s.mirror.track(l)
}

// grant takes note of a proof. The caller holds mu.
func (l *Lock) grant(st standing) {
	l.mode, l.want = l.want, ""
	l.token = Token(st.queue.Revision)
	l.granted = time.Now()
	l.records = st.records
	l.meetIntent(st)
}
