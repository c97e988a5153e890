package lease

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Patient waits for as long as the context lives.
const Patient time.Duration = -1

// entryKeys is how many keys one lock may put on its lease: its entry and an upgrade slot.
const entryKeys = 2

// Request says what to lock and why.
type Request struct {
	Name    string
	Mode    Mode // empty: Exclusive
	Purpose string
	Task    string        // the task's id, for those who look
	User    string        // empty: Config.User
	Brief   bool          // no command is given to a machine: no intent is needed unless Commit or Declare begins more
	Detail  string        // the event or step that an exclusive section is for, kept in its intent
	Wait    time.Duration // 0: try once; Patient: as long as the context lives
	Read    []string      // keys to read in the acquiring transaction; one that ends in / is a prefix
	Require string        // a key that must exist; without it the request is ErrMissing and leaves nothing
}

func ticket(session string, n int) string { return session + "-" + strconv.Itoa(n) }

// Acquire takes a lock. A free lock costs one write to etcd, which also reads the records; a try
// that is refused costs none. It blocks for at most Request.Wait once etcd answers.
//
// Errors: a *HeldError if the lock was not to be had in time; the cause of ctx if that ends first;
// ErrSuspect, ErrLost or ErrClosed if the session cannot take locks; ErrMissing. In each case no
// entry of this call remains in the queue, or is removed as soon as etcd can be reached.
func (s *Session) Acquire(ctx context.Context, r Request) (*Lock, error) {
	ls, err := s.AcquireAll(ctx, r.Wait, r)
	if err != nil {
		return nil, err
	}
	return ls[0], nil
}

// AcquireAll takes several locks in one transaction, all or none, in place of Request.Wait by
// wait. Since all enter their queues at one revision, two such calls cannot deadlock, whatever
// the order of their names; a caller that already holds a lock has no such promise. At most 40.
func (s *Session) AcquireAll(ctx context.Context, wait time.Duration, rs ...Request) (_ []*Lock, err error) {
	if err := s.prepare(rs); err != nil {
		return nil, err
	}
	start := time.Now()
	defer func() {
		for _, r := range rs {
			s.cfg.Metrics.acquired(r.Mode, time.Since(start), err)
		}
	}()
	if err := s.Check(); err != nil {
		return nil, err
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	if wait == 0 {
		if err := s.busy(ctx, rs); err != nil {
			return nil, err
		}
	}
	ls, entering := make([]*Lock, 0, len(rs)), false
	defer func() {
		if err != nil {
			for _, l := range ls {
				if !entering {
					l.vacate()
				}
				l.forget(err)
			}
		}
	}()
	for _, r := range rs {
		l, err := s.newLock(r)
		if err != nil {
			return nil, err
		}
		ls = append(ls, l)
		if l.shard, err = s.place(ctx, entryKeys); err != nil {
			return nil, err
		}
	}
	dctx, cancel := ctx, context.CancelFunc(func() {})
	if wait > 0 {
		dctx, cancel = context.WithDeadlineCause(ctx, start.Add(wait), errWaited)
	}
	defer cancel()
	entering = true
	if err := s.enter(dctx, ls, wait == 0); err != nil {
		return nil, s.inVain(ls, err, time.Since(start))
	}
	if len(ls) > 1 { // one of those already granted may be lost while another is waited for
		var drop context.CancelCauseFunc
		dctx, drop = context.WithCancelCause(dctx)
		defer drop(nil)
		for _, l := range ls {
			defer context.AfterFunc(l.ctx, func() { drop(context.Cause(l.ctx)) })()
		}
	}
	for _, l := range ls {
		if err := l.await(dctx); err != nil {
			return nil, s.giveUp(ctx, ls, l, err, time.Since(start))
		}
	}
	for _, l := range ls {
		if err := l.whyLost(); err != nil {
			return nil, s.giveUp(ctx, ls, l, err, 0)
		}
	}
	if err := s.Check(); err != nil { // the answer may have taken long
		return nil, s.giveUp(ctx, ls, ls[0], err, 0)
	}
	return ls, nil
}

// errWaited is the cause of a wait that is over; what shows of it is that etcd did not answer.
var errWaited = fmt.Errorf("no answer from etcd within the wait: %w", context.DeadlineExceeded)

func (s *Session) prepare(rs []Request) error {
	if len(rs) == 0 || len(rs) > 40 {
		return fmt.Errorf("acquire %d locks at once: want 1 to 40", len(rs))
	}
	seen := map[string]bool{}
	for i := range rs {
		r := &rs[i]
		if err := checkName(r.Name); err != nil {
			return err
		}
		if seen[r.Name] {
			return fmt.Errorf("acquire: %s is named twice", r.Name)
		}
		seen[r.Name] = true
		if r.Mode == "" {
			r.Mode = Exclusive
		}
		if r.Mode != Exclusive && r.Mode != Shared {
			return fmt.Errorf("lock mode %q: want %q or %q", r.Mode, Shared, Exclusive)
		}
		if r.User == "" {
			r.User = s.cfg.User
		}
		for what, text := range map[string]string{"purpose": r.Purpose, "task": r.Task, "user": r.User, "detail": r.Detail} {
			if err := checkText(what, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// bind makes a context that also ends with the session.
func (s *Session) bind(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	off := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func() { off(); cancel(nil) }
}

// busy refuses a try without a write. The mirror decides whether to ask; a read of etcd refuses.
func (s *Session) busy(ctx context.Context, rs []Request) error {
	for _, r := range rs {
		if q := s.mirror.view(r.Name); q.admits(r.Mode) {
			continue
		}
		q, err := Locks{Client: s.client, Root: s.keys.root}.Queue(ctx, r.Name)
		if err != nil {
			return err
		}
		if !q.admits(r.Mode) {
			return &HeldError{Queue: q}
		}
	}
	return nil
}

// value is what the lock's entry says.
func (l *Lock) value() value {
	l.s.mu.Lock() // a renewal may bring another TTL
	ttl := l.shard.ttl
	l.s.mu.Unlock()
	return value{
		Ticket: l.ticket, Holder: l.s.cfg.Holder, Mode: l.entry, Purpose: l.req.Purpose, Task: l.req.Task, User: l.req.User,
		Since: l.started.UTC().Truncate(time.Millisecond), Session: l.s.id, TTL: ttl.String(),
		Rank: l.rank,
	}
}

// reads are the ranges that come with a grant, at one revision: the queue, the intent, the records.
func (l *Lock) reads(opts ...clientv3.OpOption) []clientv3.Op {
	return append([]clientv3.Op{
		clientv3.OpGet(l.s.keys.queue(l.name), append(opts, clientv3.WithPrefix())...),
		clientv3.OpGet(l.s.keys.intent(l.name), opts...),
	}, l.readRecords(opts...)...)
}

// headReads are reads for a lock that waits to be exclusive. Of the exclusive entries, which all rank
// by their creation, they ask for the oldest, and the next one to see a tie: if the oldest is not
// its own, it is not its turn. So what a handover brings over the network is the same however many wait.
func (l *Lock) headReads(opts ...clientv3.OpOption) []clientv3.Op {
	opts = opts[:len(opts):len(opts)]
	queue := l.s.keys.queue(l.name)
	from, to, end := queue+"exclusive/", queue+"exclusive0", clientv3.GetPrefixRangeEnd(queue)
	oldest := append(opts, clientv3.WithRange(to),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithLimit(2))
	return append([]clientv3.Op{
		clientv3.OpGet(queue, append(opts, clientv3.WithRange(from))...),
		clientv3.OpGet(from, oldest...),
		clientv3.OpGet(to, append(opts, clientv3.WithRange(end))...),
		clientv3.OpGet(l.s.keys.intent(l.name), opts...),
	}, l.readRecords(opts...)...)
}

func (l *Lock) readRecords(opts ...clientv3.OpOption) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(l.req.Read))
	for _, k := range l.req.Read {
		o := opts
		if strings.HasSuffix(k, "/") {
			o = append(o[:len(o):len(o)], clientv3.WithPrefix())
		}
		ops = append(ops, clientv3.OpGet(k, o...))
	}
	return ops
}

// standing is what reads returned.
type standing struct {
	queue   Queue // without what explains its entries; see explained
	kvs     []*mvccpb.KeyValue
	intent  *mvccpb.KeyValue
	records Records
	orphan  int64 // create revision of a slot whose entry is gone, 0 without one
	tie     bool  // the two oldest came at once, by hand: more than the head has to be read
}

// standing understands what reads or headReads have returned, and nothing else.
func (l *Lock) standing(rs []*pb.ResponseOp, rev int64) standing {
	kvs, tie := rs[0].GetResponseRange().Kvs, false
	if n := len(rs) - 1 - len(l.req.Read); n == 3 {
		head := rs[1].GetResponseRange().Kvs
		tie = len(head) > 1 && head[0].CreateRevision == head[1].CreateRevision
		kvs = slices.Concat(kvs, head, rs[2].GetResponseRange().Kvs)
		rs = rs[2:]
	}
	st := standing{queue: readStanding(l.s.keys, l.name, kvs, rev), kvs: kvs, records: Records{Revision: rev}, tie: tie}
	if kvs := rs[1].GetResponseRange().Kvs; len(kvs) > 0 {
		st.intent = kvs[0]
	}
	if slot := l.s.keys.upgrade(l.name); st.queue.Upgrade == nil {
		for _, kv := range kvs {
			if string(kv.Key) == slot {
				st.orphan = kv.CreateRevision
			}
		}
	}
	st.records.take(rs[2:])
	return st
}

// explained is the queue with all that its entries say.
func (l *Lock) explained(st standing) Queue {
	return readQueue(l.s.keys, l.name, st.kvs, st.queue.Revision)
}

func (r *Records) take(rs []*pb.ResponseOp) {
	for _, one := range rs {
		r.KVs = append(r.KVs, one.GetResponseRange().Kvs...)
	}
}
