package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// occupy starts background work on new nodes until there is no worker, and tells how much began.
func (c *conductor) occupy(unreserved bool, end <-chan struct{}) (n int) {
	c.w.Helper()
	for {
		r := task.Request{Node: c.w.node(""), Unreserved: unreserved}
		start := time.Now()
		err := c.Exclusive(c.w.Context(), r, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("", until(end))
			return nil
		})
		if err != nil {
			c.w.want(err, task.ErrNoWorker)
			same(c.w, "waited for a worker", time.Since(start), 0)
			c.w.free(r.Node)
			return n
		}
		n++
	}
}

func TestPool(t *testing.T) {
	bubble(t, "full load, free again, and again", func(w *world) {
		c := w.conductor("c1", func(c *task.Config) { c.Workers, c.ReservedPercent = 20, 10 })
		for range 3 {
			end := make(chan struct{})
			same(w, "without the reserve", c.occupy(true, end), 18)
			same(w, "reserved", c.occupy(false, end), 2)
			same(w, "more", c.occupy(true, end)+c.occupy(false, end), 0)
			close(end)
			synctest.Wait()
		}
	})
	bubble(t, "without a worker nothing moves", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateAvailable, func(n *node.Node) { n.LastError = "old" })
		free := c.fill()
		deploy := func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: nothing})
		}
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(deploy(ctx, x), task.ErrNoWorker)
			same(w, "state", x.Node().ProvisionState, node.StateAvailable)
			same(w, "machine", x.Machine().State(), node.StateAvailable)
			same(w, "last error", x.Node().LastError, "old")
			free()
			return deploy(ctx, x)
		})
		synctest.Wait()
		same(w, "state", w.stored(id).ProvisionState, node.StateDeploying)
		same(w, "writes", len(w.history("nodes/"+string(id))), 2)
	})
	bubble(t, "work that goes on needs no second worker", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateDeploying)
		end := make(chan struct{})
		cleaned := false
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SpawnAfter("deploy", func(ctx context.Context, x *task.Exclusive) error {
				<-end
				return x.ProcessEvent(ctx, node.EventFail, task.Transition{Name: "clean up", Work: func(_ context.Context, y *task.Exclusive) error {
					cleaned = true
					same(w, "task", y, x)
					return errBody
				}})
			})
			return nil
		})
		stop := make(chan struct{})
		same(w, "others", c.occupy(false, stop), 2)
		close(end)
		synctest.Wait()
		same(w, "cleaned", cleaned, true)
		same(w, "last error", w.stored(id).LastError, "clean up failed: the body failed")
		close(stop)
		synctest.Wait()
		w.free(id)
		c.fill()()
	})
}

func TestClose(t *testing.T) {
	bubble(t, "waits for work and takes no more", func(w *world) {
		c, id, other := w.conductor("c1"), w.node(""), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("", func(ctx context.Context, x *task.Exclusive) error {
				time.Sleep(time.Hour)
				return ctx.Err()
			})
			return nil
		})
		var hooked error
		late := make(chan error, 1)
		go func() {
			late <- c.try(other, func(_ context.Context, x *task.Exclusive) error {
				time.Sleep(time.Second)
				x.SpawnAfter("", nothing)
				x.OnSpawnError(func(_ context.Context, err error) { hooked = err })
				return nil
			})
		}()
		synctest.Wait()
		start := time.Now()
		w.later(time.Minute, func() {
			w.want(c.try(other, nothing), task.ErrClosed)
			w.want(c.Snapshot(w.Context(), in(other, ""), nil), task.ErrClosed)
		})
		w.want(c.Close(w.Context()), nil)
		same(w, "waited", time.Since(start), time.Hour)
		w.want(<-late, task.ErrClosed)
		w.want(hooked, task.ErrClosed)
		w.free(id)
		w.free(other)
	})
	bubble(t, "work that is cut off leaves its intent to the next", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node(node.StateAvailable)
		a.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}})
		})
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		w.want(a.Close(ctx), context.DeadlineExceeded)
		w.want(b.try(id, nothing), lease.ErrHeld)
		w.want(a.session.Close(w.Context()), nil)
		synctest.Wait()
		b.must(id, func(ctx context.Context, x *task.Exclusive) error {
			left := x.Abandoned()
			if left == nil || left.Holder != "a" || left.Detail != string(node.StateDeploying) {
				w.Errorf("abandoned: %+v, want a's deployment", left)
			}
			x.Settle()
			return nil
		})
		w.free(id)
	})
	bubble(t, "foreground tasks are cut off too, and release", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		done := make(chan error, 1)
		go func() {
			done <- c.try(id, func(ctx context.Context, _ *task.Exclusive) error { <-ctx.Done(); return context.Cause(ctx) })
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		w.want(c.Close(ctx), context.Canceled)
		w.want(<-done, task.ErrClosed)
		w.once(id)
	})
	bubble(t, "does not wait for ever for a driver that heeds nothing", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("deaf", func(context.Context, *task.Exclusive) error {
				time.Sleep(30 * time.Minute)
				return nil
			})
			return nil
		})
		start := time.Now()
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		err := c.Close(ctx)
		w.want(err, task.ErrStuck)
		w.want(err, context.DeadlineExceeded)
		same(w, "waited", time.Since(start), time.Minute+10*time.Second)
		w.want(c.Close(ctx), task.ErrStuck) // again, as a caller may
	})
	bubble(t, "gives what was cancelled the time to end", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("slow", func(ctx context.Context, _ *task.Exclusive) error {
				<-ctx.Done()
				time.Sleep(9 * time.Second)
				return context.Cause(ctx)
			})
			return nil
		})
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := c.Close(ctx)
		w.want(err, context.DeadlineExceeded)
		same(w, "stuck", errors.Is(err, task.ErrStuck), false)
		same(w, "waited", time.Since(start), time.Minute+9*time.Second)
	})
}
