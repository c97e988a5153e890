package task_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// of are the events of a type.
func of(all []event, kind string) (some []event) {
	for _, e := range all {
		if e.Type == kind {
			some = append(some, e)
		}
	}
	return some
}

// A lock that is lost is told once, whatever kind of task it was and however it ended.
func TestLostLockIsTold(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	for what, run := range map[string]func(c *conductor, r task.Request) error{
		"exclusive": func(c *conductor, r task.Request) error {
			return c.Exclusive(c.w.Context(), r, func(ctx context.Context, _ *task.Exclusive) error { return wait(ctx) })
		},
		"shared": func(c *conductor, r task.Request) error {
			return c.Shared(c.w.Context(), r, func(ctx context.Context, _ *task.Shared) error { return wait(ctx) })
		},
		"upgraded": func(c *conductor, r task.Request) error {
			return c.Shared(c.w.Context(), r, func(ctx context.Context, s *task.Shared) error {
				return s.Upgrade(ctx, "", 0, func(ctx context.Context, _ *task.Exclusive) error { return wait(ctx) })
			})
		},
		"downgraded": func(c *conductor, r task.Request) error {
			return c.Exclusive(c.w.Context(), r, func(ctx context.Context, x *task.Exclusive) error {
				return x.Downgrade(ctx, func(ctx context.Context, _ *task.Shared) error { return wait(ctx) })
			})
		},
		"work": func(c *conductor, r task.Request) error {
			return c.Exclusive(c.w.Context(), r, func(_ context.Context, x *task.Exclusive) error {
				x.SpawnAfter("work", func(ctx context.Context, _ *task.Exclusive) error { return wait(ctx) })
				return nil
			})
		},
	} {
		bubble(t, what, func(w *world) {
			c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.Name = "r1" })
			ended := make(chan error, 1)
			go func() { ended <- run(c, task.Request{Node: id, Purpose: "deploy", User: "ann", ID: "t1"}) }()
			synctest.Wait()
			since := time.Now()
			time.Sleep(time.Minute)
			w.breakLock(id)
			<-ended
			synctest.Wait()
			lost := of(w.events(string(id)), task.LockLost)
			if len(lost) != 1 {
				w.Fatalf("%d events of a lost lock, want 1", len(lost))
			}
			e := lost[0].Notification
			e.ID, e.At, e.Token = "", time.Time{}, 0
			same(w, "event", e, task.Notification{
				Type: task.LockLost, Level: task.LevelWarning, Publisher: "c1", Node: id, Name: "r1",
				Holder: "c1", Reason: string(lease.Broken), Since: since.UTC(), Purpose: "deploy", Task: "t1", User: "ann",
			})
			told := c.told()
			same(w, "told", told[len(told)-1], lost[0].Notification)
		})
	}
	// The task's own write finds out, and ends the task.
	for what, end := range map[string]func(ctx context.Context, x *task.Exclusive) error{
		"downgrade": func(ctx context.Context, x *task.Exclusive) error { return x.Downgrade(ctx, looks) },
		"destroy":   func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) },
		"release":   func(context.Context, *task.Exclusive) error { return nil },
	} {
		bubble(t, what, func(w *world) {
			c, id := w.conductor("c1"), w.node("")
			w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
				w.deaf("c1")
				w.breakLock(id)
				return end(ctx, x)
			}), lease.ErrLost)
			synctest.Wait()
			same(w, "events", len(of(w.events(string(id)), task.LockLost)), 1)
		})
	}
	bubble(t, "work that Close cuts off", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(ctx context.Context, _ *task.Exclusive) error {
				<-ctx.Done()
				time.Sleep(5 * time.Second) // Close comes first
				return context.Cause(ctx)
			})
			return nil
		})
		w.breakLock(id)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.want(c.Close(ctx), context.DeadlineExceeded)
		same(w, "events", len(of(w.events(string(id)), task.LockLost)), 1)
	})
	bubble(t, "not one that was given back", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, nothing)
		w.want(c.try(id, func(context.Context, *task.Exclusive) error { return errBody }), errBody)
		synctest.Wait()
		same(w, "events", len(c.told())+len(w.keys("events/")), 0)
	})
}

// Without etcd the loss is told to the subscriber at once, and written down if etcd comes back soon.
func TestLostWithoutEtcd(t *testing.T) {
	for _, away := range []time.Duration{20 * time.Second, 5 * time.Minute} {
		bubble(t, away.String(), func(w *world) {
			c, id := w.conductor("c1"), w.node("")
			w.want(c.try(id, func(ctx context.Context, _ *task.Exclusive) error {
				w.etcd.Cut("c1")
				<-ctx.Done()
				return nil
			}), lease.ErrLost)
			synctest.Wait()
			same(w, "told", len(c.told()), 1)
			same(w, "reason", c.told()[0].Reason, string(lease.Expired))
			time.Sleep(away)
			w.etcd.Heal("c1")
			time.Sleep(time.Minute)
			want := 1
			if away > time.Minute {
				want = 0
			}
			same(w, "stored", len(w.events(string(id))), want)
			same(w, "logged", c.logged("notification dropped"), want == 0)
			same(w, "told in the end", len(c.told()), 1)
		})
	}
	bubble(t, "close does not wait for long", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.try(id, func(ctx context.Context, _ *task.Exclusive) error {
			w.etcd.Cut("c1")
			<-ctx.Done()
			return nil
		}), lease.ErrLost)
		ctx, cancel := context.WithTimeout(w.Context(), time.Millisecond)
		defer cancel()
		start := time.Now()
		w.want(c.Close(ctx), context.DeadlineExceeded)
		if took := time.Since(start); took > 6*time.Second {
			w.Errorf("close took %s", took)
		}
	})
	bubble(t, "of many some are left out", func(w *world) {
		c := w.conductor("c1")
		var ids []node.ID
		for range 100 {
			ids = append(ids, w.node(""))
		}
		ended := make(chan error)
		for _, id := range ids {
			go func() {
				ended <- c.try(id, func(ctx context.Context, _ *task.Exclusive) error { <-ctx.Done(); return nil })
			}()
		}
		synctest.Wait()
		w.etcd.Cut("c1")
		for range ids {
			w.want(<-ended, lease.ErrLost)
		}
		synctest.Wait()
		same(w, "told", len(c.told()), 32)
		same(w, "logged", c.logged("too many at once"), true)
		w.etcd.Heal("c1")
		time.Sleep(time.Minute)
		same(w, "stored", len(w.keys("events/")), 32)
	})
}

// The event of a break has the form of all others, to the letter.
func TestBreakIsAnEvent(t *testing.T) {
	bubble(t, "form", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		err := c.Exclusive(w.Context(), task.Request{Node: id, Purpose: "deploy", ID: "t1"}, func(ctx context.Context, _ *task.Exclusive) error {
			e := w.queue(id).Holders()[0]
			_, err := lease.Locks{Client: w.admin, Host: "c2"}.Break(ctx, string(id), e.Create, "ann", "no <answer>")
			return err
		})
		w.want(err, lease.ErrLost)
		broken := of(w.events(string(id)), task.LockBroken)
		if len(broken) != 1 {
			w.Fatalf("%d events of a broken lock, want 1", len(broken))
		}
		e := broken[0]
		d := json.NewDecoder(bytes.NewReader([]byte(e.raw)))
		d.DisallowUnknownFields()
		var n task.Notification
		if err := d.Decode(&n); err != nil {
			w.Fatal(err)
		}
		again, err := json.Marshal(n)
		if err != nil || string(again) != e.raw {
			w.Errorf("as others would write it:\n%s\nwritten:\n%s (%v)", again, e.raw, err)
		}
		same(w, "level", e.Level, task.LevelWarning)
		same(w, "publisher", e.Publisher, "c2")
		same(w, "holder", e.Holder, "c1")
		same(w, "user", e.User, "ann")
		same(w, "reason", e.Reason, "no <answer>")
		same(w, "task", e.Task, "t1")
	})
	// A node that went before its loss could be told leaves nothing behind.
	bubble(t, "no event of a node that is gone", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		w.want(a.try(id, func(ctx context.Context, _ *task.Exclusive) error {
			w.deaf("a")
			w.breakLock(id)
			b.must(id, func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) })
			w.etcd.Heal("a")
			<-ctx.Done()
			return nil
		}), lease.ErrLost)
		synctest.Wait()
		r, err := w.admin.Get(w.Context(), lease.DefaultRoot+"events/"+string(id)+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || r.Count != 0 {
			w.Errorf("%v events, %v", r.Count, err)
		}
	})
}
