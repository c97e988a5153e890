package task_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// A flood of events of one node does not grow without end, whoever writes them, and the newest stay.
func TestEventsAreBoundedInNumber(t *testing.T) {
	const limit = 40
	bubble(t, "flood", func(w *world) {
		small := func(c *task.Config) { c.Events = limit }
		conductors := []*conductor{w.conductor("a", small), w.conductor("b", small), w.conductor("c", small)}
		id, other := w.node(""), w.node("")
		for _, c := range conductors[:2] {
			c.must(other, func(ctx context.Context, x *task.Exclusive) error {
				x.Tell(task.Notification{Type: task.PowerSet + task.End})
				return x.Save(ctx)
			})
		}
		most, least := 0, 500
		for i := range 500 {
			conductors[i%len(conductors)].must(id, func(ctx context.Context, x *task.Exclusive) error {
				x.Tell(task.Notification{Type: task.PowerSet + task.Start, Reason: fmt.Sprint(i)})
				return x.Save(ctx)
			})
			synctest.Wait()
			all := w.events(string(id))
			most = max(most, len(all))
			if i > 2*limit {
				least = min(least, len(all))
			}
			if i >= limit && len(all) < limit {
				w.Fatalf("after %d events %d are kept, want at least %d", i+1, len(all), limit)
			}
			for j, e := range all { // no hole, and the newest is there
				same(w, "event", e.Reason, fmt.Sprint(i-len(all)+1+j))
			}
		}
		if bound := limit + len(conductors)*limit/8; most > bound {
			w.Errorf("up to %d events, want at most %d", most, bound)
		}
		same(w, "fewest", least, limit)
		same(w, "events of the other node", len(w.events(string(other))), 2)
	})
	bubble(t, "deleted nodes", func(w *world) {
		c := w.conductor("a", func(c *task.Config) { c.Events = limit })
		for range 100 {
			c.must(w.node(""), func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) })
			synctest.Wait()
		}
		if n := len(w.keys("events/")); n < limit || n > limit+limit/8 {
			w.Errorf("%d events, want about %d", n, limit)
		}
	})
}

// years that TestEventsAreBoundedInTime has been in the future.
var years atomic.Int64

// By time too: what is older than History goes with the next event, and not before.
func TestEventsAreBoundedInTime(t *testing.T) {
	bubble(t, "hour", func(w *world) {
		// The ids of events never go back in this process, but bubbles all begin in the year 2000.
		time.Sleep(time.Duration(years.Add(1)) * 365 * 24 * time.Hour)
		c, id := w.conductor("a", func(c *task.Config) { c.History = time.Hour }), w.node("")
		tell := func() {
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				x.Tell(task.Notification{Type: task.PowerSet + task.End})
				return x.Save(ctx)
			})
		}
		tell()
		time.Sleep(50 * time.Minute)
		tell()
		same(w, "within the hour", len(w.events(string(id))), 2)
		time.Sleep(20 * time.Minute)
		same(w, "nobody trims for nothing", len(w.events(string(id))), 2)
		tell()
		same(w, "after the hour", len(w.events(string(id))), 2)
		c.must(w.node(""), func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) })
		time.Sleep(70 * time.Minute)
		c.must(w.node(""), func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) })
		same(w, "deletions", len(w.events(string(node.NoNode))), 1)
	})
}
