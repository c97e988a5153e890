package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// free looks at the lock of n with its record, which must be free.
func (w *world) free(s *lease.Session) *lease.Free {
	w.Helper()
	f, err := s.Free(w.Context(), "n", w.root+"nodes/n")
	if err != nil {
		w.Fatal(err)
	}
	return f
}

// edit is a write of the record that was read, in the name of f.
func (w *world) edit(f *lease.Free, value string) lease.Write {
	key, mod := w.root+"nodes/n", int64(0)
	for _, kv := range f.Records().KVs {
		mod = kv.ModRevision
	}
	return lease.Write{
		If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", mod)},
		Then: []clientv3.Op{clientv3.OpPut(key, value+" by "+f.Ticket())},
		Else: []clientv3.Op{clientv3.OpGet(key)},
	}
}

// is fails unless the record is what f wrote, at a revision; 0 if that does not matter.
func (w *world) is(f *lease.Free, value string, rev int64) {
	w.Helper()
	r, err := w.client().Get(w.Context(), w.root+"nodes/n")
	if err != nil {
		w.Fatal(err)
	}
	if len(r.Kvs) == 0 || string(r.Kvs[0].Value) != value+" by "+f.Ticket() || rev != 0 && r.Kvs[0].ModRevision != rev {
		w.Errorf("record = %v, want %s by %s at %d", r.Kvs, value, f.Ticket(), rev)
	}
}

func TestFreeWrite(t *testing.T) {
	contract(t, func(w *world) {
		s := w.open("a")
		before := w.acquire(s, lease.Request{Name: "n"})
		w.release(before)
		f := w.free(s)
		rev, err := f.Write(w.Context(), w.edit(f, "1"))
		w.want(err, nil)
		w.is(f, "1", rev)
		if !lease.IsFree(f.Ticket()) || lease.IsFree(before.Ticket()) {
			w.Errorf("tickets %s of a free write and %s of a lock", f.Ticket(), before.Ticket())
		}
		after := w.acquire(s, lease.Request{Name: "n"})
		if before.Token() >= f.Token() || f.Token() >= after.Token() {
			w.Errorf("tokens %d, %d, %d: want them to rise", before.Token(), f.Token(), after.Token())
		}
		w.release(after)

		g, h := w.free(s), w.free(w.open("b"))
		rev, err = g.Write(w.Context(), w.edit(g, "2"))
		w.want(err, nil)
		_, err = h.Write(w.Context(), w.edit(h, "3"))
		c, ok := errors.AsType[*lease.ConflictError](err)
		if !ok || len(c.Responses) != 1 || c.Responses[0].GetResponseRange().Kvs[0].ModRevision != rev {
			w.Errorf("write on a stale record = %v", err)
		}
		_, err = g.Write(w.Context(), w.edit(g, "again"))
		w.want(err, lease.ErrConflict)
		w.is(g, "2", rev)
	})
}

// Whoever has an entry in the queue stops the write, and so does an intent.
func TestFreeWriteIsRefused(t *testing.T) {
	contract(t, func(w *world) {
		a, b := w.open("a"), w.open("b")
		refused := func(what string, want error, take, leave func()) {
			w.Helper()
			f := w.free(a)
			take()
			_, err := f.Write(w.Context(), w.edit(f, what))
			if !errors.Is(err, want) {
				w.Errorf("%s: write = %v, want %v", what, err, want)
			}
			if held, ok := errors.AsType[*lease.HeldError](err); ok && held.Holder().Holder != "b" && !held.Holder().Foreign {
				w.Errorf("%s: held by %+v", what, held.Holder())
			}
			if _, err := a.Free(w.Context(), "n"); !errors.Is(err, want) {
				w.Errorf("%s: free = %v, want %v", what, err, want)
			}
			if got := w.get(w.root + "nodes/n"); got != "" {
				w.Errorf("%s: wrote %s", what, got)
			}
			leave()
		}
		for _, m := range []lease.Mode{lease.Exclusive, lease.Shared} {
			var l *lease.Lock
			refused(string(m), lease.ErrHeld,
				func() { l = w.acquire(b, lease.Request{Name: "n", Mode: m, Brief: true}) },
				func() { w.release(l) })
		}
		foreign := w.root + "locks/n/694d"
		refused("foreign", lease.ErrHeld,
			func() { w.want(put(w, foreign, ""), nil) },
			func() { w.want(del(w, foreign), nil) })
		intent := w.root + "intents/n"
		refused("abandoned", lease.ErrAbandoned,
			func() { w.want(put(w, intent, lease.Intent{Holder: "c", Purpose: "deploy"}.String()), nil) },
			func() { w.want(del(w, intent), nil) })
		refused("an intent by hand", lease.ErrAbandoned,
			func() { w.want(put(w, intent, "?"), nil) },
			func() { w.want(del(w, intent), nil) })
		f := w.free(a)
		if err := a.Close(w.Context()); err != nil {
			w.Fatal(err)
		}
		_, err := f.Write(w.Context(), w.edit(f, "late"))
		w.want(err, lease.ErrClosed)
		_, err = a.Free(w.Context(), "n")
		w.want(err, lease.ErrClosed)
	})
}

func put(w *world, key, value string) error {
	_, err := w.client().Put(w.Context(), key, value)
	return err
}

func del(w *world, key string) error {
	_, err := w.client().Delete(w.Context(), key)
	return err
}

// A session whose key is gone writes nothing, and learns it.
func TestFreeWriteOfALostSession(t *testing.T) {
	contract(t, func(w *world) {
		s := w.open("a")
		f := w.free(s)
		w.want(del(w, w.root+"conductors/a"), nil)
		_, err := f.Write(w.Context(), w.edit(f, "late"))
		w.want(err, lease.ErrLost)
		if got := w.get(w.root + "nodes/n"); got != "" {
			w.Errorf("wrote %s", got)
		}
	})
}

// A write whose answer is lost is found to have landed, also when its second copy meets a holder.
func TestFreeWriteSentAgain(t *testing.T) {
	for name, fate := range map[string][2]leasetest.Fate{"answer lost": answerLost, "connection cut": answerCut} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				a, other := b.session("a"), b.session("b")
				f := b.free(a)
				b.spoil("a", fate)
				rev, err := f.Write(b.Context(), b.edit(f, "1"))
				b.want(err, nil)
				b.is(f, "1", rev)
				f = b.free(a)
				b.spoil("a", fate)
				go func() {
					b.until(time.Second, "landed", func() bool { return b.get(b.root+"nodes/n") == "2 by "+f.Ticket() })
					b.acquire(other, lease.Request{Name: "n"})
				}()
				rev, err = f.Write(b.Context(), b.edit(f, "2"))
				b.want(err, nil)
				b.is(f, "2", rev)
			})
		})
	}
}

// Nobody can tell what became of a write whose answer was lost if the record has another writer by now.
func TestFreeWriteOfUnknownOutcome(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		f := b.free(a)
		b.spoil("a", answerLost)
		var g *lease.Free
		go func() {
			b.until(time.Second, "landed", func() bool { return b.get(b.root+"nodes/n") != "" })
			g = b.free(other)
			_, err := g.Write(b.Context(), b.edit(g, "2"))
			b.want(err, nil)
		}()
		_, err := f.Write(b.Context(), b.edit(f, "1"))
		b.want(err, lease.ErrUnknown)
		b.is(g, "2", 0)
	})
}

// A refusal is final: the first copy, which was on its way all the time, lands no more.
func TestFreeWriteRefusedBeforeALateCopy(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		f := b.free(a)
		l := b.acquire(other, lease.Request{Name: "n"})
		b.spoil("a", late)
		_, err := f.Write(b.Context(), b.edit(f, "1")) // its second copy is answered first
		b.want(err, lease.ErrHeld)
		b.release(l)
		time.Sleep(time.Minute)
		if got := b.get(b.root + "nodes/n"); got != "" {
			b.Errorf("landed after it was refused: %s", got)
		}
		b.want(a.Check(), nil)
		f = b.free(a)
		_, err = f.Write(b.Context(), b.edit(f, "2"))
		b.want(err, nil)
		b.clean("n")
	})
}

// A write that was given up may still land, but not on another record, and soon not at all.
func TestFreeWriteGivenUp(t *testing.T) {
	inLab(t, func(b *lab) {
		a, other := b.session("a"), b.session("b")
		f := b.free(a)
		b.spoil("a", late)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := f.Write(ctx, b.edit(f, "1"))
		b.want(err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		b.want(a.Check(), nil)
		g := b.free(other)
		_, err = g.Write(b.Context(), b.edit(g, "2"))
		b.want(err, nil)
		time.Sleep(time.Minute)
		b.is(g, "2", 0)
		f = b.free(a)
		rev, err := f.Write(b.Context(), b.edit(f, "3")) // the session's key was bumped
		b.want(err, nil)
		b.is(f, "3", rev)
	})
}

// Many at once: each edit counts once, whoever travels with whom.
func TestFreeWritesAtOnce(t *testing.T) {
	contract(t, func(w *world) {
		const each, names = 6, 3
		var done []<-chan error
		for i := range 2 {
			s := w.open(fmt.Sprint("c", i))
			for n := range names {
				done = append(done, w.counts(s, fmt.Sprint("n", n), each))
			}
		}
		for _, c := range done {
			w.want(<-c, nil)
		}
		for n := range names {
			if got := w.get(w.root + fmt.Sprint("nodes/n", n)); len(got) != 2*each {
				w.Errorf("record n%d = %q, want %d letters", n, got, 2*each)
			}
		}
	})
}

// counts makes a record longer by a letter, some times, each time without a lock.
func (w *world) counts(s *lease.Session, name string, times int) <-chan error {
	key, done := w.root+"nodes/"+name, make(chan error, 1)
	go func() {
		for times > 0 {
			f, err := s.Free(w.Context(), name, key)
			if err != nil {
				done <- err
				return
			}
			value, mod := "", int64(0)
			for _, kv := range f.Records().KVs {
				value, mod = string(kv.Value), kv.ModRevision
			}
			_, err = f.Write(w.Context(), lease.Write{
				If:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", mod)},
				Then: []clientv3.Op{clientv3.OpPut(key, value+"x")},
			})
			switch {
			case err == nil:
				times--
			case !errors.Is(err, lease.ErrConflict):
				done <- err
				return
			}
		}
		done <- nil
	}()
	return done
}
