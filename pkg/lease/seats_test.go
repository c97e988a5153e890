package lease_test

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// keysEver are the keys that have ever stood in a queue.
func (w *world) keysEver(name string) map[string]int {
	w.Helper()
	prefix := w.root + "locks/" + name + "/"
	now, err := w.client().Get(w.Context(), prefix, clientv3.WithCountOnly())
	if err != nil {
		w.Fatal(err)
	}
	end := now.Header.Revision
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	keys := map[string]int{}
	for r := range w.client().Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithProgressNotify(), clientv3.WithFilterDelete()) {
		if err := r.Err(); err != nil {
			w.Fatal(err)
		}
		for _, e := range r.Events {
			keys[string(e.Kv.Key)]++
			if e.Kv.ModRevision == end {
				return keys
			}
		}
	}
	w.Fatalf("the history of %s does not come to revision %d", name, end)
	return nil
}

// A queue has no more keys in etcd's history than there were ever entries in it at once, however
// often a lock was taken.
func TestSeats(t *testing.T) {
	contract(t, func(w *world) {
		s := w.open("a")
		for range 10 {
			l := w.acquire(s, lease.Request{Name: "n"})
			first := w.later(s, lease.Request{Name: "n", Wait: lease.Patient})
			w.queued("n", 2)
			second := w.later(s, lease.Request{Name: "n", Wait: lease.Patient})
			w.queued("n", 3)
			for _, next := range []<-chan outcome{first, second} {
				w.release(l)
				o := <-next
				w.want(o.err, nil)
				l = o.lock
			}
			w.release(l)
		}
		last := w.acquire(s, lease.Request{Name: "n"}) // its put is the newest revision
		keys, puts := w.keysEver("n"), 0
		for _, n := range keys {
			puts += n
		}
		if len(keys) > 3 || puts != 31 {
			w.Errorf("%d keys for %d entries, want 3 for 31: %v", len(keys), puts, keys)
		}
		w.release(last)
	})
}

// A wait that ends gives its seat back.
func TestSeatOfAWaitThatEnds(t *testing.T) {
	inLab(t, func(b *lab) {
		s := b.session("a")
		l := b.acquire(s, lease.Request{Name: "n"})
		for range 10 {
			_, err := s.Acquire(b.Context(), lease.Request{Name: "n", Wait: time.Second})
			b.want(err, lease.ErrHeld)
		}
		b.release(l)
		l = b.acquire(s, lease.Request{Name: "n"}) // its put is the newest revision
		if keys := b.keysEver("n"); len(keys) != 2 {
			b.Errorf("10 waits, one after the other, had %d keys besides that of the holder, want 1: %v", len(keys)-1, keys)
		}
		b.release(l)
	})
}

// The seat of a request that was given up stays taken: what cleans up after it may be sent again
// later, and deletes whatever stands there.
func TestSeatOfARequestGivenUp(t *testing.T) {
	inLab(t, func(b *lab) {
		s := b.session("a")
		b.spoil("a", answerLost, answerLost) // of the acquire, and of what cleans up after it
		ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := s.Acquire(ctx, lease.Request{Name: "n"})
		b.want(err, context.DeadlineExceeded)
		time.Sleep(time.Millisecond) // its entry has come and gone
		l := b.acquire(s, lease.Request{Name: "n"})
		time.Sleep(30 * time.Second)
		b.want(l.Check(), nil)
		b.want(l.Release(b.Context(), b.put("nodes/n", "held")), nil)
		b.clean("n")
	})
}
