package lease

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// bequestPatience is how long a waiter who is woken waits for the answer to the release that has
// read for it, before it reads for itself.
const bequestPatience = 10 * time.Millisecond

// heir is the lock that comes next when another one goes, as far as its session knows. The release
// reads the queue for it, as it stands without its holder: a proof as good as any, and there as soon
// as the release is. Who is next in another session learns it from the watch.
type heir struct {
	l    *Lock
	done chan struct{} // its bequest
}

// heir looks for the one to whom a release with ops operations hands over; nil if there is none.
// Whoever has one calls inherit, whatever becomes of the release.
func (l *Lock) heir(mode Mode, ops int) *heir {
	next := l.s.mirror.next(l, mode)
	if next == nil || ops+len(next.req.Read)+4 > txnOps {
		return nil
	}
	next.mu.Lock()
	defer next.mu.Unlock()
	if !next.awaited() || next.bequest != nil {
		return nil
	}
	next.bequest = make(chan struct{})
	return &heir{next, next.bequest}
}

// reads are the operations of the release that read for it.
func (h *heir) reads() []clientv3.Op {
	if h == nil {
		return nil
	}
	return h.l.turnReads()()
}

// inherit takes the grant if it is there, and wakes the waiter. Without an answer rs are empty, and
// it is the watch that wakes him.
func (h *heir) inherit(rs []*pb.ResponseOp, rev int64) {
	if h == nil {
		return
	}
	l := h.l
	var st standing
	if len(rs) > 0 {
		st = l.standing(rs, rev)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bequest = nil
	close(h.done)
	if len(rs) > 0 && l.awaited() && !st.tie && l.grantedIn(&st.queue) {
		l.grant(st)
		l.signal(rev)
	}
}

// inherits reports whether the lock is held by now as wanted. It waits a moment for a bequest that
// is under way, whose event may come before its answer.
func (l *Lock) inherits(ctx context.Context) bool {
	l.mu.Lock()
	held, bequest := l.want == "", l.bequest
	l.mu.Unlock()
	if held || bequest == nil {
		return held
	}
	select {
	case <-bequest:
	case <-time.After(bequestPatience):
	case <-ctx.Done():
	}
	return l.wanted() == ""
}

// awaited reports whether the lock has its entry, and nothing more. The caller holds mu.
func (l *Lock) awaited() bool {
	return l.mode == "" && l.want != "" && !l.released && l.create != 0
}

// next is the local lock that waits right behind one that is held in a mode, nil if nobody does, it is
// another session's, or others hold it too.
func (m *mirror) next(l *Lock, mode Mode) *Lock {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.locals[l.name]) < 2 {
		return nil
	}
	q := m.queues.standing(l.name, m.rev)
	i := slices.IndexFunc(q.Entries, func(e Entry) bool { return e.Ticket == l.ticket }) + 1
	if i == 0 || i == len(q.Entries) || q.Upgrade != nil {
		return nil
	}
	if mode == Shared && i > 1 { // who stands before an exclusive one, is gone: the mirror has not heard
		return nil
	}
	for next := range m.locals[l.name] {
		if next.ticket == q.Entries[i].Ticket {
			return next
		}
	}
	return nil
}
