package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Token orders owners for the world outside etcd: the revision of the state that proved the
// grant. It increases strictly from exclusive owner to exclusive owner of one name.
type Token int64

// Lock is a held lock, or one that is being waited for. Its methods are safe for concurrent use;
// operations on one lock go one after the other.
type Lock struct {
	s       *Session
	name    string
	ticket  string
	seat    string // the last part of the entry's key; see seats
	shard   *shard
	started time.Time
	ctx     context.Context
	cancel  context.CancelCauseFunc
	wake    chan int64 // the newest revision at which the lock seemed granted; 0 asks for a look

	op sync.Mutex // held through an operation on etcd

	mu       sync.Mutex
	req      Request
	mode     Mode  // as granted; empty while waiting
	want     Mode  // what is being waited for; empty when nothing is
	entry    Mode  // of the entry's key
	create   int64 // fence: create revision of the entry
	rank     int64 // an older place that the entry keeps
	slot     int64 // fence: create revision of the upgrade slot, 0 without one
	barrier  int64 // of the slot
	token    Token // see Token
	granted  time.Time
	asked    time.Time // when what is wanted was asked for
	records  Records
	draft    string  // the intent that the acquiring transaction writes
	intent   *Intent // ours, as written
	left     *Intent // what a dead holder left
	settled  bool    // the left intent was dealt with
	released bool

	// What a copy of a request may have done, or may yet do, that was not answered in time.
	doubt    bool          // the acquiring request was sent more than once
	loose    []looseSlot   // slots whose requests have an unknown outcome
	quiet    bool          // our own operation takes the slot away: its vanishing means nothing
	dropping chan struct{} // closed when the slot that was given up is gone; nil without one

	bequest chan struct{} // closed when the release that reads for this lock has its answer; nil without one
}

// looseSlot is an upgrade slot, and the intent beside it, whose request has an unknown outcome.
type looseSlot struct{ slot, intent string }

// Records is what the acquiring transaction read besides the lock.
type Records struct {
	KVs      []*mvccpb.KeyValue // in the order of Request.Read
	Revision int64              // at which they stood so
}

// key of the entry. The caller holds mu, or nobody else knows the lock yet.
func (l *Lock) key() string { return l.s.keys.entry(l.name, l.entry, l.seat) }

// Name is what is locked.
func (l *Lock) Name() string { return l.name }

// Ticket is unique to the acquisition. Records carry it as their writer's.
func (l *Lock) Ticket() string { return l.ticket }

// Key is the entry's key in etcd.
func (l *Lock) Key() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key()
}

// Mode is the mode in which the lock is held now.
func (l *Lock) Mode() Mode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode
}

// Purpose is the reason given at acquire, or at the last upgrade.
func (l *Lock) Purpose() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.req.Purpose
}

// Token is the fencing token of the present grant.
func (l *Lock) Token() Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

// Records returns what was read with the last grant.
func (l *Lock) Records() Records {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

// Context ends when the lock does: with a *LostError as its cause before etcd can give the lock
// to another, or with ErrReleased or ErrClosed.
func (l *Lock) Context() context.Context { return l.ctx }

// Bind returns a context that ends with parent or with the lock, whichever is first, with the
// cause of that end. Call stop to free it.
func (l *Lock) Bind(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	if err := context.Cause(l.ctx); err != nil { // AfterFunc would say so a moment later
		cancel(err)
	}
	off := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	return ctx, func() { off(); cancel(nil) }
}

// Check reports why the lock must not be relied on at this moment: nil, ErrSuspect, or the cause
// of its end. It never blocks. Call it right before each act that cannot be undone.
func (l *Lock) Check() error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	return l.s.Check()
}

// fence proves in a transaction that the lock is still held. The caller holds mu.
func (l *Lock) fence() []clientv3.Cmp {
	f := []clientv3.Cmp{created(l.key(), l.create)}
	if l.slot != 0 && l.mode == Exclusive {
		f = append(f, created(l.s.keys.upgrade(l.name), l.slot))
	}
	return f
}

// stands takes note of how the lock stands in a queue, with e as its entry: it wakes a waiter that can run and ends a
// holder whose entry is gone. The mirror calls it. Sure tells whether the absence of a key that was
// created then means that it was deleted; if not, an event may be missing, and the mirror has to look.
func (l *Lock) stands(q *Queue, e *Entry, sure func(key string, created int64) bool, reason func(name, ticket string) *LostError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released || l.create == 0 || q.Revision < l.create {
		return
	}
	missing, since := "", l.create
	switch {
	case e == nil:
		missing = l.key()
	case l.quiet:
	case e.Key != l.key() && e.Create > l.create, l.slot != 0 && e.Mod > l.slot:
		l.weakened(e)
	case l.slot != 0 && q.Revision >= l.slot && (q.Upgrade == nil || q.Upgrade.Create != l.slot):
		missing, since = l.s.keys.upgrade(l.name), l.slot
	}
	switch {
	case missing != "" && !sure(missing, since):
		l.s.mirror.resync()
	case missing != "":
		l.lost(reason(l.name, l.ticket))
	case l.quiet:
	case l.want != "" && l.grantedIn(q):
		l.signal(q.Revision)
	}
}

// weakened takes note of the shared entry that a downgrade has left. The caller holds mu.
func (l *Lock) weakened(e *Entry) {
	if l.mode == Exclusive {
		l.s.cfg.Metrics.downgraded()
	}
	l.entry, l.create, l.rank, l.slot, l.mode, l.intent = e.Mode, e.Create, e.Rank, 0, Shared, nil
	if l.settled {
		l.left = nil
	}
}

// signal wakes the waiter; only the newest revision counts. The caller holds mu.
func (l *Lock) signal(rev int64) {
	for {
		select {
		case l.wake <- rev:
			return
		default:
			select {
			case <-l.wake:
			default:
			}
		}
	}
}

// lost ends the lock's context. The caller holds mu.
func (l *Lock) lost(why *LostError) {
	if l.ctx.Err() != nil {
		return
	}
	l.cancel(why)
	if !errors.Is(context.Cause(l.ctx), why) {
		return // the session has ended just now, and counts it
	}
	l.s.cfg.Metrics.lost(why.Reason, l.mode)
	l.s.cfg.Logger.Warn("lock lost", "lock", l.name, "mode", l.mode, "purpose", l.req.Purpose, "err", why)
}

// newLock registers a lock before its first request is sent, so that no entry of this session is
// ever unknown to it.
func (s *Session) newLock(r Request) (*Lock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Lost || s.state == Closed {
		return nil, context.Cause(s.ctx)
	}
	s.tickets++
	start := time.Now()
	l := &Lock{
		s: s, name: r.Name, ticket: ticket(s.id, s.tickets), seat: s.seats.take(s.id, r.Name), req: r, want: r.Mode, entry: r.Mode,
		started: start, asked: start, wake: make(chan int64, 1),
	}
	l.ctx, l.cancel = context.WithCancelCause(s.ctx)
	s.locks[l.ticket] = l
	s.names[l.name]++
	return l, nil
}

func (s *Session) knows(ticket string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locks[ticket] != nil
}

// forget ends a lock whose entry is gone or is being cleaned up.
func (l *Lock) forget(cause error) {
	l.s.mirror.untrack(l)
	l.cancel(cause)
	l.s.mu.Lock()
	_, known := l.s.locks[l.ticket]
	delete(l.s.locks, l.ticket)
	if known && l.shard != nil {
		l.shard.used -= entryKeys
	}
	if known {
		if l.s.names[l.name]--; l.s.names[l.name] == 0 {
			delete(l.s.names, l.name)
		}
	}
	l.s.mu.Unlock()
}

// whyLost is the cause if the lock is lost, nil otherwise.
func (l *Lock) whyLost() error {
	if err := context.Cause(l.ctx); errors.Is(err, ErrLost) || errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}
