package task_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// crowded has as few workers as there may be, and no reserve.
func crowded(c *task.Config) { c.Workers, c.ReservedPercent = 3, -1 }

// fill keeps all workers of a crowded conductor busy until free is called.
func (c *conductor) fill() (free func()) {
	c.w.Helper()
	end := make(chan struct{})
	for range 3 {
		c.must(c.w.node(""), func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("fill", until(end))
			return nil
		})
	}
	return func() { close(end); synctest.Wait() }
}

// until is work that goes on until end is closed.
func until(end <-chan struct{}) func(context.Context, *task.Exclusive) error {
	return func(ctx context.Context, _ *task.Exclusive) error {
		select {
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// TestIronicSpawn goes on with the numbers of background work.
func TestIronicSpawn(t *testing.T) {
	bubble(t, "23_spawn_after", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		runs := 0
		var ended atomic.Bool
		ctx, gone := context.WithCancel(w.Context())
		err := c.Exclusive(ctx, in(id, "clean"), func(ctx context.Context, x *task.Exclusive) error {
			x.SpawnAfter("replaced", func(context.Context, *task.Exclusive) error { w.Error("it ran"); return nil })
			x.SpawnAfter("work", func(ctx context.Context, y *task.Exclusive) error {
				runs++
				same(w, "task", y, x)
				time.Sleep(time.Hour)
				ended.Store(true)
				return errors.Join(ctx.Err(), y.Check())
			})
			same(w, "runs in the body", runs, 0)
			return nil
		})
		w.want(err, nil)
		gone() // the caller has its answer
		synctest.Wait()
		same(w, "runs", runs, 1)
		same(w, "ended", ended.Load(), false)
		w.want(c.try(id, nothing), lease.ErrHeld)
		time.Sleep(time.Hour + time.Second)
		same(w, "ended", ended.Load(), true)
		same(w, "last error", w.stored(id).LastError, "")
		w.once(id)
	})
	bubble(t, "24_body_fails", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		var hooked error
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(context.Context, *task.Exclusive) error { w.Error("it ran"); return nil })
			x.OnSpawnError(func(_ context.Context, err error) { hooked = err })
			return errBody
		}), errBody)
		w.want(hooked, errBody)
		w.once(id)
		c.fill()() // all workers are there
	})
	bubble(t, "25_spawn_fails", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateAvailable)
		defer c.fill()()
		err := c.try(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(context.Context, *task.Exclusive) error { w.Error("it ran"); return nil })
			return nil
		})
		full, ok := errors.AsType[*task.NoWorkerError](err)
		if !ok || full.Busy != 3 || full.Size != 3 {
			w.Errorf("got %v, want that 3 of 3 workers are busy", err)
		}
		w.once(id)
		same(w, "notifications", len(c.told()), 0)
	})
	bubble(t, "27_hook", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		defer c.fill()()
		calls := 0
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", nothing)
			x.OnSpawnError(func(ctx context.Context, err error) {
				calls++
				w.want(err, task.ErrNoWorker)
				x.Node().LastError = "no worker"
				w.want(x.Save(ctx), nil) // still under the lock
			})
			return nil
		}), task.ErrNoWorker)
		same(w, "calls", calls, 1)
		same(w, "last error", w.stored(id).LastError, "no worker")
		w.once(id)
	})
	bubble(t, "28_hook_panics", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		defer c.fill()()
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", nothing)
			x.OnSpawnError(func(context.Context, error) { panic("hook") })
			return nil
		}), task.ErrNoWorker)
		same(w, "logged", c.logged("spawn error hook"), true)
		w.once(id)
	})
	bubble(t, "42_last_error", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.background(id, "deploy", func(context.Context, *task.Exclusive) error { return errBody })
		same(w, "last error", w.stored(id).LastError, "deploy failed: the body failed")
		w.once(id)
	})
	bubble(t, "43_last_error_stays", func(w *world) {
		c, id := w.conductor("c1"), w.node("", func(n *node.Node) { n.LastError = "older" })
		c.background(id, "deploy", func(context.Context, *task.Exclusive) error { return errBody })
		same(w, "last error", w.stored(id).LastError, "older")
		same(w, "writes", len(w.history("nodes/")), 1)
		same(w, "logged", c.logged("the body failed"), true)
		w.once(id)
	})
	bubble(t, "44_no_error", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.background(id, "deploy", nothing)
		same(w, "last error", w.stored(id).LastError, "")
		same(w, "writes", len(w.history("nodes/")), 1)
		w.once(id)
	})
	bubble(t, "45_cancelled", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("deploy", func(ctx context.Context, _ *task.Exclusive) error {
				<-ctx.Done()
				w.want(context.Cause(ctx), task.ErrClosed)
				return ctx.Err()
			})
			return nil
		})
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.want(c.Close(ctx), context.DeadlineExceeded)
		same(w, "last error", w.stored(id).LastError, "")
		same(w, "logged", c.logged("work=deploy"), true)
	})
}

// background runs work to its end.
func (c *conductor) background(id node.ID, name string, fn func(context.Context, *task.Exclusive) error) {
	c.w.Helper()
	c.must(id, func(_ context.Context, x *task.Exclusive) error {
		x.SpawnAfter(name, fn)
		return nil
	})
	synctest.Wait()
}

// TestIronicEvent goes on with the numbers of process_event.
func TestIronicEvent(t *testing.T) {
	bubble(t, "31_illegal_event", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			err := x.ProcessEvent(ctx, node.EventDone, task.Transition{
				LastError: "x", Work: func(context.Context, *task.Exclusive) error { w.Error("it ran"); return nil },
			})
			w.want(err, node.ErrInvalidState)
			same(w, "state", x.Node().ProvisionState, node.StateAvailable)
			same(w, "last error", x.Node().LastError, "")
			return nil
		})
		synctest.Wait()
		same(w, "writes", len(w.history("nodes/")), 1)
		same(w, "events", len(w.keys("events/"))+len(c.told()), 0)
	})
	bubble(t, "32_with_work", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable, func(n *node.Node) { n.LastError = "old" })
		ran := false
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			err := x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Name: "deploy", Work: func(_ context.Context, y *task.Exclusive) error {
				ran = true
				same(w, "task", y, x)
				return nil
			}})
			n := w.stored(id)
			same(w, "state", n.ProvisionState, node.StateDeploying)
			same(w, "target", n.TargetProvisionState, node.StateActive)
			same(w, "last error", n.LastError, "")
			same(w, "ran", ran, false)
			return err
		})
		synctest.Wait()
		same(w, "ran", ran, true)
		same(w, "writes", len(w.history("nodes/")), 2)
		w.free(id)
	})
	bubble(t, "33_error_handler", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateDeployFailed, func(n *node.Node) { n.TargetProvisionState = node.StateActive })
		w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.ProcessEvent(ctx, node.EventDelete, task.Transition{
				Work: nothing,
				OnError: func(ctx context.Context, y *task.Exclusive, err error, state, target node.ProvisionState) {
					w.want(err, errBody)
					same(w, "old state", state, node.StateDeployFailed)
					same(w, "old target", target, node.StateActive)
					same(w, "state", y.Node().ProvisionState, node.StateDeleting)
					y.Node().ProvisionState, y.Node().TargetProvisionState = state, target
					y.SaveAtEnd()
				},
			}), nil)
			same(w, "state", w.stored(id).ProvisionState, node.StateDeleting)
			return errBody
		}), errBody)
		same(w, "state", w.stored(id).ProvisionState, node.StateDeployFailed)
		w.once(id)
	})
	bubble(t, "34_explicit_target", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateManageable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.want(x.ProcessEvent(ctx, node.EventClean, task.Transition{Target: node.StateManageable}), nil)
			w.want(x.ProcessEvent(ctx, node.EventWait, task.Transition{Target: node.StateManageable}), nil)
			w.want(x.ResumeCleaning(ctx), nil) // stays a manual clean
			same(w, "state", x.Node().ProvisionState, node.StateCleaning)
			return nil
		})
		same(w, "target", w.stored(id).TargetProvisionState, node.StateManageable)
		same(w, "writes", len(w.history("nodes/")), 4)
	})
	// Stable states that an event leads to, and one such event.
	ways := map[node.ProvisionState][2]string{
		node.StateEnroll: {"verifying", "fail"}, node.StateManageable: {"cleaning", "manage"},
		node.StateAvailable: {"cleaning", "done"}, node.StateActive: {"deploying", "done"},
		node.StateError: {"deleting", "fail"}, node.StateRescue: {"rescuing", "done"},
	}
	for to, way := range ways {
		from, e := node.ProvisionState(way[0]), node.Event(way[1])
		name := strings.ReplaceAll(string(to), " ", "_")
		bubble(t, "35_stable_with_work/"+name, func(w *world) {
			c, id := w.conductor("c1"), w.node(from)
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, e, task.Transition{Target: node.StateActive, Work: func(_ context.Context, x *task.Exclusive) error {
					same(w, "target", x.Node().TargetProvisionState, node.StateActive)
					return nil
				}})
			})
			synctest.Wait()
			same(w, "state", w.stored(id).ProvisionState, to)
			same(w, "target", w.stored(id).TargetProvisionState, node.StateActive)
		})
		bubble(t, "36_stable_without_work/"+name, func(w *world) {
			c, id := w.conductor("c1"), w.node(from)
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, e, task.Transition{Target: node.StateActive})
			})
			same(w, "state", w.stored(id).ProvisionState, to)
			same(w, "target", w.stored(id).TargetProvisionState, node.ProvisionState(""))
		})
	}
	bubble(t, "37_notified_at_once", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateManageable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			err := x.ProcessEvent(ctx, node.EventProvide, task.Transition{})
			same(w, "notifications", len(c.told()), 1)
			return err
		})
		same(w, "notifications", len(c.told()), 1)
	})
}
