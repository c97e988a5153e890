package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Free is a lock that nobody held or wanted, and no dead holder's intent stood, when its records
// were read. With it a small change of these records needs no lock: Write is one transaction that
// goes through only if that is still so.
//
// Nobody can be granted the lock between the compares and the write, for they are one transaction.
// Readers count too: who holds a shared lock stands in the queue, and stops it. Fairness is kept,
// since it never passes anybody who waits. The change may only concern what etcd keeps: a command
// to a machine needs a lock.
type Free struct {
	s       *Session
	name    string
	ticket  string
	records Records
}

// freeMark ends the tickets of writes without a lock.
const freeMark = ".free"

// IsFree reports whether a ticket is that of a write without a lock.
func IsFree(ticket string) bool { return strings.HasSuffix(ticket, freeMark) }

// Free reads keys, as Request.Read names them, together with the queue of a name. It is one
// linearizable read, which writes nothing to etcd's log. It waits for nobody but etcd, and for that
// one attempt.
//
// Errors: a *HeldError if somebody holds the lock or waits, ErrAbandoned, what Session.Check says,
// or the reason why etcd did not answer. Whoever takes the lock then, learns the same or gets it.
func (s *Session) Free(ctx context.Context, name string, keys ...string) (*Free, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	l := &Lock{s: s, name: name, req: Request{Read: keys}}
	a := s.batch.request(ctx, txn{then: l.reads()})
	switch {
	case a.err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("read %s: %w", name, context.Cause(ctx))
	case a.err != nil:
		return nil, fmt.Errorf("read %s: %w", name, a.err)
	case a.r.Header.ClusterId != s.cluster:
		s.lose(otherEtcd)
		return nil, context.Cause(s.ctx)
	}
	st := l.standing(a.r.Responses, a.r.Header.Revision)
	if err := l.taken(st); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.tickets++
	f := &Free{s: s, name: name, ticket: ticket(s.id, s.tickets) + freeMark, records: st.records}
	s.mu.Unlock()
	return f, nil
}

// taken says why a lock that stands so is not free.
func (l *Lock) taken(st standing) error {
	switch {
	case len(st.kvs) > 0:
		return &HeldError{Queue: l.explained(st)}
	case st.intent != nil:
		var i Intent
		_ = json.Unmarshal(st.intent.Value, &i) // written by hand: it says nothing of itself
		return fmt.Errorf("%s: %w: %s of %s", l.name, ErrAbandoned, i.Purpose, i.Holder)
	}
	return nil
}

// Records are what was read.
func (f *Free) Records() Records { return f.records }

// Ticket is unique to f. A record that Write puts has to carry it.
func (f *Free) Ticket() string { return f.ticket }

// Token orders the write among the owners of the lock: it is above those of all before, and below
// those of all after.
func (f *Free) Token() Token { return Token(f.records.Revision) }

// Write makes a change of records, if the lock is still free. W.If must give each record that W.Then
// puts or deletes, and each on which the change depends, its mod revision; W.Then must put at least
// one that carries the ticket. W.Detail has no use. It returns the revision of the write, and
// blocks until the outcome is known or ctx ends.
//
// Errors: a *HeldError or ErrAbandoned if the lock is not free any more, a *ConflictError if it is
// and W.If does not hold: nothing has been written then, and nothing will be. ErrUnknown if an
// answer was lost and the records have changed since. ErrLost or ErrClosed with the session, etcd's
// own error, or the cause of ctx: the outcome is unknown then, and what is under way may still
// arrive. It does no harm: it lands once at most, on the very records that it was made for, and
// while nobody holds the lock.
func (f *Free) Write(ctx context.Context, w Write) (rev int64, err error) {
	s := f.s
	doubt := false // a copy may have landed, or may yet
	defer func() {
		if err != nil && doubt {
			s.abandon(nil)
		}
	}()
	ctx, stop := s.bind(ctx)
	defer stop()
	keys, reads := s.keys, (&Lock{s: s, name: f.name}).reads()
	els := append(append([]clientv3.Op{clientv3.OpGet(s.key)}, reads...), w.Else...)
	for {
		mod, ifs := s.unbumped()
		ifs = append(ifs, keys.free(f.name, Exclusive)...)
		ifs = append(append(ifs, created(keys.intent(f.name), 0)), w.If...)
		r, again, err := s.commit(ctx, ifs, w.Then, els)
		doubt = doubt || again
		if err != nil {
			return 0, fmt.Errorf("write %s without a lock: %w", f.name, err)
		}
		if r.Succeeded {
			doubt = false // each other copy is refused by w.If
			return r.Header.Revision, nil
		}
		if doubt {
			rev, err := f.settle(ctx, w)
			if doubt = err != nil; err != nil || rev > 0 {
				return rev, err
			}
		}
		if err := f.refused(r, mod); err != nil {
			return 0, err
		}
		select { // some other request was abandoned meanwhile: send again
		case <-time.After(jitter(time.Millisecond)):
		case <-ctx.Done():
			return 0, fmt.Errorf("write %s without a lock: %w", f.name, context.Cause(ctx))
		}
	}
}

// refused says why a write was refused, nil if only because the session's key has been bumped since
// it was at mod.
func (f *Free) refused(r *clientv3.TxnResponse, mod int64) error {
	s, kvs := f.s, r.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 || kvs[0].CreateRevision != s.epoch {
		s.lose(keyGone)
		return context.Cause(s.ctx)
	}
	l := &Lock{s: s, name: f.name}
	st := l.standing(r.Responses[1:3], r.Header.Revision)
	if err := l.taken(st); err != nil {
		return err
	}
	if kvs[0].ModRevision == mod {
		return &ConflictError{Name: f.name, Responses: r.Responses[3:], queue: st.queue}
	}
	s.bumped(kvs[0].ModRevision)
	return nil
}

// settle finds out what became of the copies of a refused write that were not answered: the
// revision of the one that landed, or 0. From then on none can land, for it bumps the session's
// key, which they compare.
func (f *Free) settle(ctx context.Context, w Write) (rev int64, err error) {
	s, puts := f.s, w.puts()
	then := []clientv3.Op{s.bump()}
	for _, put := range puts {
		then = append(then, clientv3.OpGet(string(put.KeyBytes())))
	}
	r, _, err := s.commit(ctx, []clientv3.Cmp{created(s.key, s.epoch)}, then, nil)
	if err != nil {
		return 0, fmt.Errorf("write %s without a lock was refused; ask why: %w", f.name, err)
	}
	if !r.Succeeded {
		s.lose(keyGone)
		return 0, context.Cause(s.ctx)
	}
	s.bumped(r.Header.Revision)
	ours, untouched := len(puts) > 0, false
	for i, put := range puts {
		var value string
		var mod int64
		for _, kv := range r.Responses[1+i].GetResponseRange().Kvs {
			value, mod = string(kv.Value), kv.ModRevision
		}
		ours = ours && mod > 0 && value == string(put.ValueBytes())
		untouched = untouched || w.expects(put.KeyBytes(), mod)
		rev = max(rev, mod)
	}
	switch {
	case ours: // one of them carries our ticket
		return rev, nil
	case untouched:
		return 0, nil
	}
	return 0, fmt.Errorf("write %s without a lock: %w", f.name, ErrUnknown)
}

// expects reports whether a key of this mod revision, 0 if it does not stand, is as w.If wants it:
// nothing has been put there since.
func (w Write) expects(key []byte, mod int64) bool {
	return slices.ContainsFunc(w.If, func(c clientv3.Cmp) bool {
		p := c.GetCompare()
		if string(p.Key) != string(key) || len(p.RangeEnd) > 0 || p.Result != pb.Compare_EQUAL {
			return false
		}
		switch p.Target {
		case pb.Compare_MOD:
			return p.GetModRevision() == mod
		case pb.Compare_CREATE:
			return p.GetCreateRevision() == 0 && mod == 0
		}
		return false
	})
}
