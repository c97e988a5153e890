package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/conductor-metal/conductor/pkg/lease"
)

func (w *world) put(key, val string) lease.Write {
	return lease.Write{Then: []clientv3.Op{clientv3.OpPut(w.root+key, val)}}
}

func TestBrokenLockIsRefusedAndTold(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		l := w.acquire(a, lease.Request{Name: "n", Purpose: "deploy"})
		waiter := w.later(b, lease.Request{Name: "n", Purpose: "rescue", Wait: lease.Patient})
		q := w.queued("n", 2)
		locks := w.locks()
		_, err := locks.Break(w.Context(), "n", q.Entries[0].Create+100, "op", "wrong revision")
		w.want(err, lease.ErrHeld)
		if _, err := locks.Break(w.Context(), "n", q.Entries[0].Create, "op", ""); err == nil {
			w.Error("a break without a reason was accepted")
		}
		if _, err := locks.Break(w.Context(), "n", q.Entries[0].Create, "op", "hung on a dead BMC"); err != nil {
			w.Fatal(err)
		}
		<-l.Context().Done()
		lost, ok := errors.AsType[*lease.LostError](context.Cause(l.Context()))
		if !ok || lost.Reason != lease.Broken || !strings.Contains(lost.Error(), "broken by op: hung on a dead BMC") {
			w.Errorf("cause = %v", context.Cause(l.Context()))
		}
		o := <-waiter
		if o.err != nil {
			w.Fatal(o.err)
		}
		_, err = l.Commit(w.Context(), w.put("nodes/n", "late"))
		w.want(err, lease.ErrLost)
		w.want(l.Release(w.Context(), w.put("nodes/n", "late")), lease.ErrLost)
		if got := w.get(w.root + "nodes/n"); got != "" {
			w.Errorf("late write landed: %s", got)
		}
		if i := o.lock.Abandoned(); i == nil || i.Holder != "a" || i.Purpose != "deploy" {
			w.Errorf("abandoned = %+v", i)
		}
		r, err := w.client().Get(w.Context(), w.root+"events/n/", clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != 1 {
			w.Fatalf("events = %v, %v", r, err)
		}
		var e struct{ ID, Type, Node, Holder, Reason, User, Purpose string }
		if err := json.Unmarshal(r.Kvs[0].Value, &e); err != nil || e.ID != strings.TrimPrefix(string(r.Kvs[0].Key), w.root+"events/n/") {
			w.Errorf("event %s: %v", r.Kvs[0].Value, err)
		}
		e.ID = ""
		want := struct{ ID, Type, Node, Holder, Reason, User, Purpose string }{"", lease.EventTypeBroken, "n", "a", "hung on a dead BMC", "op", "deploy"}
		if e != want {
			w.Errorf("event = %+v, want %+v", e, want)
		}
	})
}

func TestFenceWithoutAnyEvent(t *testing.T) {
	contract(t, func(w *world) {
		a := w.open("a")
		l := w.acquire(a, lease.Request{Name: "n"})
		if _, err := w.client().Delete(w.Context(), l.Key()); err != nil { // etcdctl del
			w.Fatal(err)
		}
		_, err := l.Commit(w.Context(), w.put("nodes/n", "late"))
		w.want(err, lease.ErrLost)
		w.want(l.Check(), lease.ErrLost)
	})
}

func TestConflictOfRecords(t *testing.T) {
	contract(t, func(w *world) {
		a := w.open("a")
		l := w.acquire(a, lease.Request{Name: "n"})
		stale := w.put("nodes/n", "new")
		stale.If = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(w.root+"nodes/n"), ">", 0)}
		stale.Else = []clientv3.Op{clientv3.OpGet(w.root + "nodes/n")}
		_, err := l.Commit(w.Context(), stale)
		c, ok := errors.AsType[*lease.ConflictError](err)
		if !ok || len(c.Responses) != 1 || c.Responses[0].GetResponseRange().Count != 0 {
			w.Fatalf("got %v", err)
		}
		w.want(l.Downgrade(w.Context(), stale), lease.ErrConflict)
		if l.Mode() != lease.Exclusive {
			w.Error("a refused downgrade changed the mode")
		}
		w.want(l.Release(w.Context(), stale), lease.ErrConflict)
		w.queued("n", 0)
		if got := w.get(w.root + "nodes/n"); got != "" {
			w.Errorf("refused write landed: %s", got)
		}
	})
}

func TestUpgrade(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		read := []string{w.root + "nodes/n"}
		l := w.acquire(a, lease.Request{Name: "n", Mode: lease.Shared, Purpose: "look", Read: read})
		_, err := l.Commit(w.Context(), w.put("nodes/n", "by a reader"))
		w.want(err, lease.ErrNotExclusive)
		other := w.acquire(b, lease.Request{Name: "n", Mode: lease.Shared, Purpose: "stare"})
		err = l.Upgrade(w.Context(), "fix", 0)
		if held, ok := errors.AsType[*lease.HeldError](err); !ok || held.Holder().Purpose != "stare" {
			w.Fatalf("upgrade beside a reader = %v", err)
		}
		err = l.Upgrade(w.Context(), "fix", 300*time.Millisecond)
		w.want(err, lease.ErrHeld)
		if l.Mode() != lease.Shared || l.Purpose() != "look" || l.Check() != nil {
			w.Fatalf("after a refused upgrade: %s %q %v", l.Mode(), l.Purpose(), l.Check())
		}
		done := make(chan error, 1)
		go func() { done <- l.Upgrade(w.Context(), "fix", lease.Patient) }()
		for q := w.queued("n", 2); q.Upgrade == nil; q = w.queued("n", 2) {
			time.Sleep(time.Millisecond)
		}
		err = other.Upgrade(w.Context(), "fix too", lease.Patient)
		if c, ok := errors.AsType[*lease.UpgradeConflictError](err); !ok || c.Winner.Holder != "a" || c.Winner.Purpose != "fix" {
			w.Fatalf("second upgrade = %v", err)
		}
		_, err = b.Acquire(w.Context(), lease.Request{Name: "n", Mode: lease.Shared})
		w.want(err, lease.ErrHeld)
		w.release(other)
		if err := <-done; err != nil {
			w.Fatal(err)
		}
		if l.Mode() != lease.Exclusive || l.Purpose() != "fix" {
			w.Errorf("after the upgrade: %s %q", l.Mode(), l.Purpose())
		}
		if h := w.queued("n", 1).Holders()[0]; h.Mode != lease.Exclusive || h.Purpose != "fix" {
			w.Errorf("shown as %s for %q", h.Mode, h.Purpose)
		}
		if _, err := l.Commit(w.Context(), w.put("nodes/n", "fixed")); err != nil {
			w.Fatal(err)
		}
		if err := l.Upgrade(w.Context(), "fix more", 0); err != nil {
			w.Fatal(err)
		}
		if h := w.queued("n", 1).Holders()[0]; h.Purpose != "fix more" {
			w.Errorf("purpose shown = %q", h.Purpose)
		}
		if err := l.Downgrade(w.Context(), w.put("nodes/n", "done")); err != nil {
			w.Fatal(err)
		}
		_, err = l.Commit(w.Context(), w.put("nodes/n", "late"))
		w.want(err, lease.ErrNotExclusive)
		m := w.acquire(b, lease.Request{Name: "n", Mode: lease.Shared, Read: read})
		if got := string(m.Records().KVs[0].Value); got != "done" {
			w.Errorf("record = %q", got)
		}
		w.release(l)
		w.release(m)
		if got := w.get(w.root + "intents/n"); got != "" {
			w.Errorf("intent left: %s", got)
		}
	})
}

func TestUpgradeGoesBeforeWaitersAndReadsAnew(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		read := []string{w.root + "nodes/n"}
		x := w.acquire(a, lease.Request{Name: "n", Read: read})
		if _, err := x.Commit(w.Context(), w.put("nodes/n", "1")); err != nil {
			w.Fatal(err)
		}
		l := w.later(b, lease.Request{Name: "n", Mode: lease.Shared, Read: read, Wait: lease.Patient})
		w.queued("n", 2)
		w.release(x)
		s := (<-l).lock
		writer := w.later(a, lease.Request{Name: "n", Read: read, Wait: lease.Patient})
		w.queued("n", 2)
		if err := s.Upgrade(w.Context(), "", 0); err != nil {
			w.Fatal(err)
		}
		token := s.Token()
		if err := s.Release(w.Context(), w.put("nodes/n", "2")); err != nil {
			w.Fatal(err)
		}
		o := <-writer
		if o.err != nil || string(o.lock.Records().KVs[0].Value) != "2" || o.lock.Token() <= token {
			w.Errorf("%v, token %d after %d", o.err, o.lock.Token(), token)
		}
	})
}

func TestDowngradeKeepsThePlace(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		l := w.acquire(a, lease.Request{Name: "n", Purpose: "change"})
		reader := w.later(b, lease.Request{Name: "n", Mode: lease.Shared, Wait: lease.Patient})
		w.queued("n", 2)
		writer := w.later(b, lease.Request{Name: "n", Wait: lease.Patient})
		w.queued("n", 3)
		if err := l.Downgrade(w.Context(), w.put("nodes/n", "v")); err != nil {
			w.Fatal(err)
		}
		r := <-reader
		if r.err != nil {
			w.Fatal(r.err)
		}
		if l.Mode() != lease.Shared || l.Check() != nil {
			w.Errorf("mode %s, %v", l.Mode(), l.Check())
		}
		w.release(r.lock)
		if q := w.queued("n", 2); len(q.Holders()) != 1 || q.Holders()[0].Ticket != l.Ticket() {
			w.Errorf("holders = %+v", q.Holders())
		}
		if err := l.Upgrade(w.Context(), "again", 0); err != nil { // before the writer, whose turn has not come
			w.Fatal(err)
		}
		if err := l.Downgrade(w.Context(), lease.Write{}); err != nil {
			w.Fatal(err)
		}
		w.release(l)
		if o := <-writer; o.err != nil {
			w.Fatal(o.err)
		}
	})
}

// A brief section notes no intent, unless it turns out to be more; it is told of what others left.
func TestBriefSections(t *testing.T) {
	contract(t, func(w *world) {
		s, key := w.open("a"), w.root+"intents/n"
		brief := lease.Request{Name: "n", Brief: true}
		l := w.acquire(s, brief)
		if got := w.get(key); got != "" {
			w.Errorf("intent of a brief section: %s", got)
		}
		w.want(l.Release(w.Context(), w.put("nodes/n", "v")), nil)
		if got := w.get(w.root + "nodes/n"); got != "v" {
			w.Errorf("record = %q", got)
		}
		l = w.acquire(s, brief)
		w.want(l.Declare(w.Context(), "power on"), nil)
		if got := w.get(key); !strings.Contains(got, `"detail":"power on"`) {
			w.Errorf("intent = %q", got)
		}
		if _, err := w.locks().Break(w.Context(), "n", w.queued("n", 1).Entries[0].Create, "op", "test"); err != nil {
			w.Fatal(err)
		}
		l = w.acquire(s, brief)
		if i := l.Abandoned(); i == nil || i.Detail != "power on" {
			w.Errorf("abandoned = %+v", i)
		}
		l.Settle()
		w.release(l)
		if got := w.get(key); got != "" {
			w.Errorf("intent after it was settled: %s", got)
		}
	})
}

func TestIntents(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		intent := func() string { w.Helper(); return w.get(w.root + "intents/n") }
		l := w.acquire(a, lease.Request{Name: "n", Purpose: "deploy", Detail: "deploying"})
		if got := intent(); !strings.Contains(got, `"purpose":"deploy"`) || !strings.Contains(got, `"detail":"deploying"`) {
			w.Errorf("intent = %s", got)
		}
		waiter := w.later(b, lease.Request{Name: "n", Purpose: "clean", Wait: lease.Patient})
		q := w.queued("n", 2)
		if _, err := w.locks().Break(w.Context(), "n", q.Entries[0].Create, "op", "test"); err != nil {
			w.Fatal(err)
		}
		m := (<-waiter).lock
		if i := m.Abandoned(); i == nil || i.Detail != "deploying" || i.Token != l.Token() {
			w.Fatalf("abandoned = %+v, want token %d", i, l.Token())
		}
		if err := m.Declare(w.Context(), "cleaning"); err != nil {
			w.Fatal(err)
		}
		if got := intent(); !strings.Contains(got, `"purpose":"clean"`) || !strings.Contains(got, `"abandoned":{"holder":"a"`) {
			w.Errorf("intent = %s", got)
		}
		w.release(m) // without Settle the next one must be told too
		n := w.acquire(a, lease.Request{Name: "n"})
		if i := n.Abandoned(); i == nil || i.Purpose != "deploy" {
			w.Fatalf("abandoned = %+v", i)
		}
		n.Settle()
		if n.Abandoned() != nil {
			w.Error("still abandoned after Settle")
		}
		w.release(n)
		if got := intent(); got != "" {
			w.Errorf("intent left: %s", got)
		}
		r := w.acquire(a, lease.Request{Name: "n", Mode: lease.Shared})
		if got := intent(); got != "" || r.Abandoned() != nil {
			w.Errorf("a reader's intent: %s", got)
		}
	})
}

func TestDestroyEndsTheWaiters(t *testing.T) {
	contract(t, func(w *world) {
		if _, err := w.client().Put(w.Context(), w.root+"nodes/n", "v"); err != nil {
			w.Fatal(err)
		}
		a, b := w.open("a"), w.open("b")
		req := lease.Request{Name: "n", Require: w.root + "nodes/n", Wait: lease.Patient}
		l := w.acquire(a, req)
		waiter := w.later(b, req)
		w.queued("n", 2)
		if err := l.Destroy(w.Context(), lease.Write{Then: []clientv3.Op{clientv3.OpDelete(w.root + "nodes/n")}}); err != nil {
			w.Fatal(err)
		}
		w.want((<-waiter).err, lease.ErrLost)
		_, err := b.Acquire(w.Context(), req)
		w.want(err, lease.ErrMissing)
		r, err := w.client().Get(w.Context(), w.root+"locks/n/", clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != 0 || w.get(w.root+"intents/n") != "" {
			w.Errorf("left: %v, %v", r.Kvs, err)
		}
	})
}

func TestForeignLockers(t *testing.T) {
	contract(t, func(w *world) {
		a := w.open("a")
		c := w.client()
		cs, err := concurrency.NewSession(c, concurrency.WithTTL(5))
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(func() { cs.Close() })
		foreign := concurrency.NewMutex(cs, w.root+"locks/n")
		if err := foreign.Lock(w.Context()); err != nil {
			w.Fatal(err)
		}
		_, err = a.Acquire(w.Context(), lease.Request{Name: "n"})
		if held, ok := errors.AsType[*lease.HeldError](err); !ok || !held.Holder().Foreign {
			w.Fatalf("got %v", err)
		}
		mine := w.later(a, lease.Request{Name: "n", Wait: lease.Patient})
		w.queued("n", 2)
		if err := foreign.Unlock(w.Context()); err != nil {
			w.Fatal(err)
		}
		o := <-mine
		if o.err != nil {
			w.Fatal(o.err)
		}
		locked := make(chan error, 1)
		go func() { locked <- foreign.Lock(w.Context()) }()
		w.queued("n", 2)
		w.want(o.lock.Downgrade(w.Context(), lease.Write{}), lease.ErrForeignWaiter)
		if o.lock.Mode() != lease.Exclusive {
			w.Error("downgraded although a foreign locker waits")
		}
		select {
		case err := <-locked:
			w.Fatalf("the foreign locker got in: %v", err)
		default:
		}
		w.release(o.lock)
		if err := <-locked; err != nil {
			w.Fatal(err)
		}
		if err := foreign.Unlock(w.Context()); err != nil {
			w.Fatal(err)
		}
	})
}

func TestWatchTellsEachStep(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		events := make(chan lease.Event, 10)
		locks := w.locks()
		go func() {
			for ev, err := range locks.Watch(ctx, "n") {
				if err != nil {
					w.Errorf("watch: %v", err)
				}
				events <- ev
			}
			close(events)
		}()
		next := func(want string) {
			w.Helper()
			ev := <-events
			if got := fmt.Sprintf("%s %s %s", ev.Type, ev.Entry.Holder, ev.Entry.Mode); got != want {
				w.Fatalf("event %q, want %q", got, want)
			}
		}
		l := w.acquire(a, lease.Request{Name: "n"})
		next("granted a exclusive")
		w.acquire(a, lease.Request{Name: "elsewhere"})
		waiter := w.later(b, lease.Request{Name: "n", Wait: lease.Patient})
		next("waiting b exclusive")
		if err := l.Downgrade(w.Context(), lease.Write{}); err != nil {
			w.Fatal(err)
		}
		next("granted a shared")
		w.release(l)
		next("released a shared")
		next("granted b exclusive")
		m := (<-waiter).lock
		q := w.queued("n", 1)
		if _, err := locks.Break(w.Context(), "n", q.Entries[0].Create, "op", "test"); err != nil {
			w.Fatal(err)
		}
		next("broken b exclusive")
		<-m.Context().Done()
		w.acquire(b, lease.Request{Name: "n"})
		next("granted b exclusive")
		q = w.queued("n", 1)
		if _, err := w.client().Revoke(w.Context(), q.Entries[0].Lease); err != nil {
			w.Fatal(err)
		}
		next("expired b exclusive")
		cancel()
		if _, ok := <-events; ok {
			w.Error("events after the end")
		}
	})
}

func TestKeeperOpensTheNextSession(t *testing.T) {
	contract(t, func(w *world) {
		k, err := lease.Keep(w.Context(), w.client(), lease.Config{Root: w.root, Holder: "a", TTL: 10 * time.Second})
		if err != nil {
			w.Fatal(err)
		}
		defer func() {
			if err := k.Close(w.Context()); err != nil {
				w.Error(err)
			}
		}()
		s, err := k.Current()
		if err != nil {
			w.Fatal(err)
		}
		l := w.acquire(s, lease.Request{Name: "n"})
		r, err := w.client().Leases(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		for _, id := range r.Leases {
			if t, err := w.client().TimeToLive(w.Context(), id.ID, clientv3.WithAttachedKeys()); err == nil && len(t.Keys) > 0 && strings.HasPrefix(string(t.Keys[0]), w.root) {
				if _, err := w.client().Revoke(w.Context(), id.ID); err != nil {
					w.Fatal(err)
				}
			}
		}
		<-l.Context().Done()
		w.want(context.Cause(l.Context()), lease.ErrLost)
		for {
			next, err := k.Current()
			if err == nil && next != s {
				w.acquire(next, lease.Request{Name: "n"})
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}
