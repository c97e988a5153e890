package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// fault orders a fault of the node's fakes.
func fault(mode, on string) func(*node.Node) {
	return func(n *node.Node) {
		n.DriverInfo = node.Object{hardware.FaultKey: []any{map[string]any{"mode": mode, "on": on}}}
	}
}

func TestGate(t *testing.T) {
	bubble(t, "tells the machine who commands", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		var token lease.Token
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			token = x.Token()
			return x.Driver().Power.Set(ctx, node.PowerOn)
		})
		want := hardware.Actor{Conductor: "c1", Session: c.session.ID(), Token: int64(token)}
		same(w, "actor", w.bmc.Commands(id)[0].Actor, want)
	})
	bubble(t, "bounds calls in time", func(w *world) {
		c := w.conductor("c1", func(c *task.Config) { c.CommandTimeout, c.StepTimeout = 10*time.Second, time.Hour })
		for on, call := range map[string]func(context.Context, *hardware.Driver) error{
			"power.Set":      func(ctx context.Context, d *hardware.Driver) error { return d.Power.Set(ctx, node.PowerOn) },
			"power.Get":      func(ctx context.Context, d *hardware.Driver) error { _, err := d.Power.Get(ctx); return err },
			"deploy.Prepare": func(ctx context.Context, d *hardware.Driver) error { return d.Deploy.Prepare(ctx) },
			"deploy.deploy": func(ctx context.Context, d *hardware.Driver) error {
				_, err := d.RunStep(ctx, hardware.Step{Interface: "deploy", Name: "deploy", Kind: hardware.DeployStep})
				return err
			},
		} {
			id := w.node("", fault("hang", on))
			limit := 10 * time.Second
			if on != "power.Get" {
				limit = time.Hour
			}
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				start := time.Now()
				if err := call(ctx, x.Driver()); err == nil {
					w.Errorf("%s: no error", on)
				}
				same(w, on, time.Since(start), limit)
				return ctx.Err() // the task goes on
			})
		}
	})
	bubble(t, "ends a call with the lock, whatever its context", func(w *world) {
		c, id := w.conductor("c1"), w.node("", fault("hang", "power"))
		start := time.Now()
		err := c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			w.later(time.Second, func() { w.breakLock(id) })
			return x.Driver().Power.Set(context.Background(), node.PowerOn)
		})
		w.want(err, lease.ErrLost)
		same(w, "took", time.Since(start), time.Second)
	})
	bubble(t, "writes the intent of a task that had to wait, before its first command", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		w.later(time.Second, a.hold(id))
		r := task.Request{Node: id, Purpose: "power on", Wait: time.Minute}
		w.want(b.Exclusive(w.Context(), r, func(ctx context.Context, x *task.Exclusive) error {
			same(w, "intents", len(w.keys("intents/")), 0)
			_, err := x.Driver().Power.Get(ctx)
			same(w, "intents after a look", len(w.keys("intents/")), 0)
			err = errors.Join(err, x.Driver().Power.Set(ctx, node.PowerOn))
			same(w, "intents", len(w.keys("intents/")), 1)
			return err
		}), nil)
		w.free(id)
	})
	bubble(t, "waits until a dead holder's last command is over", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b", func(c *task.Config) { c.LockDelay = time.Minute }), w.node("")
		abandon(w, a, id)
		for _, settle := range []bool{false, true} { // who does not settle leaves it to the next
			b.must(id, func(ctx context.Context, x *task.Exclusive) error {
				if left := x.Abandoned(); left == nil || left.Purpose != "try" {
					w.Errorf("abandoned: %+v, want the purpose of the dead", left)
				}
				start := time.Now()
				_, err := x.Driver().Power.Get(ctx)
				same(w, "a look waited", time.Since(start), 0)
				w.want(errors.Join(err, x.Quiet(ctx)), nil)
				same(w, "waited to look", time.Since(start), time.Minute)
				w.want(x.Driver().Power.Set(ctx, node.PowerOn), nil)
				same(w, "waited", time.Since(start), time.Minute)
				w.want(x.Driver().Power.Set(ctx, node.PowerOff), nil)
				same(w, "waited no more", time.Since(start), time.Minute)
				if settle {
					x.Settle()
				}
				return nil
			})
		}
		w.free(id)
		b.must(id, func(ctx context.Context, x *task.Exclusive) error {
			start := time.Now()
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), nil)
			same(w, "waited", time.Since(start), 0)
			return nil
		})
	})
	bubble(t, "does not hold up a stop for a recovery that has not begun", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b", func(c *task.Config) { c.LockDelay = time.Minute }), w.node("")
		abandon(w, a, id)
		b.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("recover", func(ctx context.Context, x *task.Exclusive) error {
				w.want(x.Quiet(ctx), task.ErrClosed)
				return nil
			})
			return nil
		})
		start := time.Now()
		w.want(b.Close(w.Context()), nil)
		same(w, "the stop took", time.Since(start), 0)
		same(w, "intents for the next", len(w.keys("intents/")), 1)
	})
	bubble(t, "does not wait beyond the lock or the caller", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		abandon(w, a, id)
		b.must(id, func(ctx context.Context, x *task.Exclusive) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), context.DeadlineExceeded)
			return nil
		})
		w.want(b.try(id, func(_ context.Context, x *task.Exclusive) error {
			w.later(time.Second, func() { w.breakLock(id) })
			return x.Driver().Power.Set(context.Background(), node.PowerOn)
		}), lease.ErrLost)
		same(w, "commands", len(w.bmc.Commands(id)), 0)
	})
	bubble(t, "after a loss in the middle no command follows", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.bmc.SetLatency(hardwaretest.Latency{Request: time.Second})
		w.want(c.try(id, func(_ context.Context, x *task.Exclusive) error {
			ctx := context.Background() // a worker that forgot the task's context
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), nil)
			w.later(500*time.Millisecond, func() { w.breakLock(id) })
			w.want(x.Driver().Power.Set(ctx, node.PowerOff), lease.ErrLost) // on the wire
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), lease.ErrLost)
			_, err := x.Driver().Power.Get(ctx)
			return err
		}), lease.ErrLost)
		same(w, "commands", len(w.bmc.Commands(id)), 2)
	})
}

// abandon makes a conductor lose its session in the middle of a section.
func abandon(w *world, c *conductor, id node.ID) {
	w.Helper()
	w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
		w.etcd.Cut(c.name)
		<-ctx.Done()
		return nil
	}), lease.ErrLost)
	time.Sleep(2 * ttl)
	synctest.Wait()
	if n := len(w.queue(id).Entries); n != 0 {
		w.Fatalf("%d entries outlived the lease", n)
	}
}
