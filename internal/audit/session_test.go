package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// What real sessions do is clean: every operation of a lock, each also while others wait, and
// every way in which a lock can end.
func TestSessionsAreClean(t *testing.T) {
	onBoth(t, func(t *testing.T, dial func() *clientv3.Client, root string) {
		s := &script{T: t, client: dial(), root: root, sessions: map[string]*lease.Session{}}
		s.write("", "n") // a create
		s.write("", "n") // elided: the queue is empty

		a := s.acquire("one", lease.Exclusive, "n")
		s.commit(a, "n")
		b := s.later("two", lease.Exclusive, "n")
		s.commit(a, "n")
		s.must(a.Release(t.Context(), s.save(a, "n")))
		l := <-b // handed over
		s.commit(l, "n")

		r := s.later("one", lease.Shared, "n")
		s.must(l.Downgrade(t.Context(), s.save(l, "n")))
		reader := <-r
		s.must(reader.Release(t.Context(), lease.Write{}))
		s.must(l.Upgrade(t.Context(), "again", 0))
		s.commit(l, "n")
		s.must(l.Downgrade(t.Context(), s.save(l, "n"))) // from the slot
		reader = s.acquire("one", lease.Shared, "n")
		up := make(chan error, 1)
		go func() { up <- l.Upgrade(t.Context(), "waits", lease.Patient) }()
		s.until("n", func(q lease.Queue) bool { return q.Upgrade != nil })
		s.must(reader.Release(t.Context(), lease.Write{}))
		s.must(<-up)
		s.commit(l, "n")
		s.must(l.Release(t.Context(), s.save(l, "n")))

		broken := s.acquire("one", lease.Exclusive, "n")
		next := s.later("two", lease.Exclusive, "n")
		q := s.until("n", func(q lease.Queue) bool { return len(q.Entries) == 2 })
		_, err := lease.Locks{Client: s.client, Root: root}.Break(t.Context(), "n", q.Entries[0].Create, "operator", "test")
		s.must(err)
		l = <-next
		if _, err := broken.Commit(t.Context(), s.save(broken, "n")); err == nil {
			t.Error("a broken lock could write")
		}
		s.commit(l, "n")

		next = s.later("one", lease.Exclusive, "n")
		q = s.until("n", func(q lease.Queue) bool { return len(q.Entries) == 2 })
		_, err = s.client.Revoke(t.Context(), q.Entries[0].Lease) // as if two had died
		s.must(err)
		l = <-next
		s.commit(l, "n")
		_, err = l.Commit(t.Context(), lease.Write{Then: []clientv3.Op{clientv3.OpDelete(root + "ports/n/p")}})
		s.must(err)
		s.must(l.Destroy(t.Context(), lease.Write{Then: []clientv3.Op{clientv3.OpDelete(root + "nodes/n")}}))

		both, err := s.session("one").AcquireAll(t.Context(), 0, lease.Request{Name: "n"}, lease.Request{Name: "m"})
		s.must(err)
		for _, l := range both {
			s.commit(l, l.Name())
			s.must(l.Release(t.Context(), lease.Write{}))
		}

		rep, err := Check(t.Context(), s.client, root, Options{})
		s.must(err)
		var text strings.Builder
		s.must(rep.WriteText(&text))
		if !rep.OK() || rep.Names != 2 || rep.Grants < 11 || rep.Writes < 15 || rep.Deletes != 1 {
			t.Errorf("got %s", &text)
		}
		t.Log(&text)
	})
}

type script struct {
	*testing.T
	client   *clientv3.Client
	root     string
	n        int
	sessions map[string]*lease.Session
}

func (s *script) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *script) session(holder string) *lease.Session {
	if s := s.sessions[holder]; s != nil {
		return s
	}
	o, err := lease.Open(s.Context(), s.client, lease.Config{Root: s.root, Holder: holder, TTL: 5 * time.Second})
	s.must(err)
	s.Cleanup(func() { o.Close(context.Background()) })
	s.sessions[holder] = o
	return o
}

func (s *script) acquire(holder string, m lease.Mode, name string) *lease.Lock {
	s.Helper()
	l, err := s.session(holder).Acquire(s.Context(), lease.Request{Name: name, Mode: m, Purpose: "test"})
	s.must(err)
	return l
}

// later acquires in the background and returns when the entry waits.
func (s *script) later(holder string, m lease.Mode, name string) <-chan *lease.Lock {
	session, c := s.session(holder), make(chan *lease.Lock, 1)
	go func() {
		l, err := session.Acquire(s.Context(), lease.Request{Name: name, Mode: m, Purpose: "later", Wait: lease.Patient})
		if err != nil {
			s.Error(err)
		}
		c <- l
	}()
	s.until(name, func(q lease.Queue) bool {
		return slices.ContainsFunc(q.Waiters(), func(e lease.Entry) bool { return e.Session == session.ID() })
	})
	return c
}

// until waits for a queue to be so.
func (s *script) until(name string, so func(lease.Queue) bool) lease.Queue {
	s.Helper()
	for {
		q, err := lease.Locks{Client: s.client, Root: s.root}.Queue(s.Context(), name)
		s.must(err)
		if so(q) {
			return q
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-s.Context().Done():
			s.Fatal(context.Cause(s.Context()))
		}
	}
}

func (s *script) put(by, name string) clientv3.Op {
	s.n++
	return clientv3.OpPut(s.root+"nodes/"+name, fmt.Sprintf(`{"n":%d%s}`, s.n, by))
}

func (s *script) write(by, name string) {
	s.Helper()
	_, err := s.client.Txn(s.Context()).Then(s.put(by, name)).Commit()
	s.must(err)
}

// save is a write of the node's record, signed.
func (s *script) save(l *lease.Lock, name string) lease.Write {
	return lease.Write{Then: []clientv3.Op{s.put(fmt.Sprintf(`,"written_by":{"ticket":%q,"token":%d}`, l.Ticket(), l.Token()), name)}}
}

func (s *script) commit(l *lease.Lock, name string) {
	s.Helper()
	_, err := l.Commit(s.Context(), s.save(l, name))
	s.must(err)
}
