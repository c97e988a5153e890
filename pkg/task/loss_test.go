package task_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// deaf makes a conductor miss all events, as one that was stopped and goes on.
func (w *world) deaf(name string) {
	w.etcd.SetNetwork(name, leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
		return leasetest.Fate{Lost: c.Method == "Watch"}
	}})
}

// breakLock ends the lock of a node's holder.
func (w *world) breakLock(id node.ID) {
	w.Helper()
	e := w.queue(id).Holders()[0]
	if _, err := (lease.Locks{Client: w.admin}).Break(context.Background(), string(id), e.Create, "ann", "test"); err != nil {
		w.Error(err)
	}
}

func TestLoss(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second, 3 * time.Second} {
		bubble(t, "work ends before the next holder starts, answers late by "+delay.String(), func(w *world) {
			a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
			w.etcd.SetNetwork("a", leasetest.Network{Answer: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: delay} }})
			var ended, began time.Time
			next := make(chan error, 1)
			err := a.try(id, func(ctx context.Context, x *task.Exclusive) error {
				go func() {
					next <- b.Exclusive(w.Context(), task.Request{Node: id, Wait: lease.Patient}, func(_ context.Context, y *task.Exclusive) error {
						began = time.Now()
						if y.Token() <= x.Token() {
							w.Errorf("token %d after %d", y.Token(), x.Token())
						}
						return nil
					})
				}()
				time.Sleep(time.Minute) // held as long as it is renewed
				w.etcd.Cut("a")
				<-ctx.Done()
				ended = time.Now()
				w.want(context.Cause(ctx), lease.ErrLost)
				w.want(x.Driver().Power.Set(context.Background(), node.PowerOn), lease.ErrLost)
				return nil // does not care
			})
			w.want(err, lease.ErrLost)
			w.want(<-next, nil)
			if !ended.Before(began) {
				w.Errorf("the next holder began %s before the work ended", ended.Sub(began))
			}
			same(w, "commands", len(w.bmc.Commands(id)), 0)
		})
	}
	late := map[string]func(context.Context, *task.Exclusive) error{
		"save":        func(ctx context.Context, x *task.Exclusive) error { return x.Save(ctx) },
		"save at end": func(_ context.Context, x *task.Exclusive) error { x.SaveAtEnd(); return nil },
		"event": func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventManage, task.Transition{})
		},
		"port": func(ctx context.Context, x *task.Exclusive) error {
			return x.Create(ctx, &node.Port{NodeUUID: x.Node().UUID, Address: "52:54:00:00:00:01"})
		},
		"destroy":   func(ctx context.Context, x *task.Exclusive) error { return x.Destroy(ctx) },
		"downgrade": func(ctx context.Context, x *task.Exclusive) error { return x.Downgrade(ctx, nil) },
	}
	for what, write := range late {
		bubble(t, "a holder that knows nothing writes nothing: "+what, func(w *world) {
			a, b, id := w.conductor("a"), w.conductor("b"), w.node(node.StateAvailable)
			err := a.try(id, func(ctx context.Context, x *task.Exclusive) error {
				w.deaf("a")
				w.breakLock(id)
				b.must(id, func(ctx context.Context, y *task.Exclusive) error {
					y.Node().Description = "b"
					return y.Save(ctx)
				})
				w.want(x.Check(), nil) // it cannot know
				x.Node().Description = "a"
				before := w.etcd.Revision()
				err := write(ctx, x)
				for _, c := range w.history("") {
					// Its session may clean up, and that the lock is lost may be told.
					if c.rev > before && !strings.HasPrefix(c.key, "conductors/") && !strings.HasPrefix(c.key, "events/") {
						w.Errorf("written: %+v", c)
					}
				}
				if err != nil {
					w.want(err, lease.ErrLost)
				}
				return nil
			})
			w.want(err, lease.ErrLost)
			n := w.stored(id)
			same(w, "description", n.Description, "b")
			same(w, "state", n.ProvisionState, node.StateAvailable)
			same(w, "ports", len(w.keys("ports/"))+len(w.keys("index/")), 0)
			for _, e := range append(w.events(string(id)), w.events(string(node.NoNode))...) {
				if !strings.HasPrefix(e.Type, "conductor.lock.") {
					w.Errorf("told: %s", e.raw)
				}
			}
		})
	}
	bubble(t, "background work that lost the lock writes no last error", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(_ context.Context, x *task.Exclusive) error {
			x.SpawnAfter("work", func(ctx context.Context, _ *task.Exclusive) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})
			return nil
		})
		w.breakLock(id)
		synctest.Wait()
		same(w, "last error", w.stored(id).LastError, "")
		same(w, "logged", c.logged("broken by ann: test"), true)
		c.must(id, nothing)
	})
	bubble(t, "the reason of the body is told too", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		err := c.Shared(w.Context(), in(id, ""), func(ctx context.Context, _ *task.Shared) error {
			w.breakLock(id)
			<-ctx.Done()
			return errBody
		})
		w.want(err, lease.ErrLost)
		w.want(err, errBody)
	})
	bubble(t, "a session that closes ends its tasks", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.try(id, func(ctx context.Context, x *task.Exclusive) error {
			w.after.Go(func() { _ = c.session.Close(context.Background()) })
			<-ctx.Done()
			return nil
		}), lease.ErrClosed)
	})
	bubble(t, "suspect means no commands, and work that is registered still starts", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.etcd.Cut("c1")
			for x.Check() == nil {
				time.Sleep(100 * time.Millisecond)
			}
			w.want(x.Check(), lease.ErrSuspect)
			w.want(ctx.Err(), nil)
			moment, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			w.want(x.Driver().Power.Set(moment, node.PowerOn), lease.ErrSuspect)
			x.SpawnAfter("work", func(ctx context.Context, x *task.Exclusive) error {
				w.etcd.Heal("c1")
				time.Sleep(5 * time.Second)
				return x.Driver().Power.Set(ctx, node.PowerOn)
			})
			return nil
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		same(w, "power", w.bmc.State(id), node.PowerOn)
		w.free(id)
	})
}

// A renewal that is late for a moment delays commands and ends no work, whether they
// change something or not.
func TestSuspectForAMoment(t *testing.T) {
	for name, command := range map[string]func(context.Context, *task.Exclusive) error{
		"to read": func(ctx context.Context, x *task.Exclusive) error {
			_, err := x.Driver().Power.Get(ctx)
			return err
		},
		"to write": func(ctx context.Context, x *task.Exclusive) error { return x.Driver().Power.Set(ctx, node.PowerOn) },
	} {
		bubble(t, name, func(w *world) {
			c, id := w.conductor("c1"), w.node("")
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				w.etcd.Cut("c1")
				for x.Check() == nil {
					time.Sleep(100 * time.Millisecond)
				}
				w.after.Go(func() {
					time.Sleep(300 * time.Millisecond)
					same(w, "commands of one who is suspect", len(w.bmc.Commands(id)), 0)
					w.etcd.Heal("c1")
				})
				w.want(command(ctx, x), nil)
				return nil
			})
			same(w, "commands", len(w.bmc.Commands(id)), 1)
		})
	}
}

func TestEnd(t *testing.T) {
	bubble(t, "a panic releases and goes on, and writes nothing", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		func() {
			defer func() { same(w, "panic", recover(), any("boom")) }()
			c.must(id, func(_ context.Context, x *task.Exclusive) error {
				x.SpawnAfter("work", func(context.Context, *task.Exclusive) error { w.Error("it ran"); return nil })
				x.SaveAtEnd()
				x.Node().Description = "half"
				panic("boom")
			})
		}()
		same(w, "description", w.stored(id).Description, "")
		w.once(id)
		func() {
			defer func() { same(w, "panic", recover(), any("boom")) }()
			c.shared(id, "", func(context.Context, *task.Shared) error { panic("boom") })
		}()
		w.free(id)
		c.fill()()
	})
	bubble(t, "a panic in the background becomes the last error", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		c.background(id, "clean", func(_ context.Context, x *task.Exclusive) error {
			x.SaveAtEnd()
			x.Node().Description = "half"
			panic("boom")
		})
		n := w.stored(id)
		same(w, "last error", n.LastError, "clean failed: panic: boom")
		same(w, "description", n.Description, "")
		same(w, "stack logged", c.logged("loss_test.go"), true)
		w.once(id)
		c.fill()()
	})
	bubble(t, "so does an exit of its goroutine", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node("")
		c.background(id, "clean", func(context.Context, *task.Exclusive) error { runtime.Goexit(); return nil })
		same(w, "last error", w.stored(id).LastError, "clean failed: task panicked")
		w.once(id)
		c.fill()()
	})
	bubble(t, "a caller that is gone does not keep the lock, nor undo what was done", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateDeploying)
		ctx, cancel := context.WithCancel(w.Context())
		w.want(c.Exclusive(ctx, in(id, ""), func(ctx context.Context, x *task.Exclusive) error {
			cancel()
			<-ctx.Done()
			w.want(x.Driver().Power.Set(ctx, node.PowerOn), context.Canceled)
			w.want(x.ProcessEvent(ctx, node.EventFail, task.Transition{LastError: "gone"}), nil)
			x.SaveAtEnd()
			x.Node().Description = "final"
			return ctx.Err()
		}), context.Canceled)
		n := w.stored(id)
		same(w, "state", n.ProvisionState, node.StateDeployFailed)
		same(w, "description", n.Description, "final")
		same(w, "commands", len(w.bmc.AllCommands()), 0)
		w.once(id)
	})
	bubble(t, "a transition is not torn by a caller who goes while it is written", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		ctx, cancel := context.WithCancel(w.Context())
		ran := false
		w.want(c.Exclusive(ctx, in(id, ""), func(ctx context.Context, x *task.Exclusive) error {
			w.etcd.SetNetwork("c1", leasetest.Network{Answer: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: 2 * time.Second} }})
			w.later(time.Second, cancel)
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
				ran = true
				return x.ProcessEvent(ctx, node.EventDone, task.Transition{})
			}})
		}), nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		same(w, "ran", ran, true)
		same(w, "state", w.stored(id).ProvisionState, node.StateActive)
		w.free(id)
	})
}
