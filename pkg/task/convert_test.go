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

// shared runs a shared task that has to work.
func (c *conductor) shared(id node.ID, purpose string, fn func(context.Context, *task.Shared) error) {
	c.w.Helper()
	if err := c.Shared(c.w.Context(), in(id, purpose), fn); err != nil {
		c.w.Fatal(err)
	}
}

func TestUpgrade(t *testing.T) {
	bubble(t, "waits for readers and keeps out new ones", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		end := make(chan struct{})
		go b.Shared(w.Context(), in(id, "read"), func(context.Context, *task.Shared) error { <-end; return nil })
		synctest.Wait()
		w.later(time.Second, func() { close(end) })
		start := time.Now()
		a.shared(id, "read too", func(ctx context.Context, s *task.Shared) error {
			return s.Upgrade(ctx, "write", 3*time.Second, func(ctx context.Context, x *task.Exclusive) error {
				same(w, "waited", time.Since(start), time.Second)
				return x.Driver().Power.Set(ctx, node.PowerOn)
			})
		})
		w.free(id)
	})
	bubble(t, "one of two wins", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		results := make(chan error, 2)
		ready := make(chan struct{})
		for _, c := range []*conductor{a, b} {
			go c.Shared(w.Context(), in(id, c.name), func(ctx context.Context, s *task.Shared) error {
				<-ready
				err := s.Upgrade(ctx, "write", lease.Patient, func(ctx context.Context, x *task.Exclusive) error {
					x.Node().Description = c.name
					return x.Save(ctx)
				})
				results <- err
				return s.Check() // the loser goes on, shared, until it leaves
			})
		}
		synctest.Wait()
		close(ready)
		first, second := <-results, <-results
		if first == nil {
			first, second = second, first
		}
		w.want(second, nil)
		conflict, ok := errors.AsType[*lease.UpgradeConflictError](first)
		if !ok || conflict.Winner.Holder != w.stored(id).Description {
			w.Errorf("got %v, want a conflict with %s", first, w.stored(id).Description)
		}
		synctest.Wait()
		w.free(id)
	})
	bubble(t, "changes that were not saved are gone", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.shared(id, "look", func(ctx context.Context, s *task.Shared) error {
			w.want(s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				x.Node().Description = "saved"
				w.want(x.Save(ctx), nil)
				x.Node().Description = "not saved"
				return nil
			}), nil)
			same(w, "description", s.Node().Description, "saved")
			return s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				same(w, "description", x.Node().Description, "saved")
				x.SaveAtEnd()
				x.Node().Description = "with the downgrade"
				return x.LoadDriver()
			})
		})
		same(w, "description", w.stored(id).Description, "with the downgrade")
	})
	bubble(t, "its work outlives the shared task", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateAvailable)
		seen := node.ProvisionState("")
		c.shared(id, "look", func(ctx context.Context, s *task.Shared) error {
			w.want(s.Upgrade(ctx, "deploy", 0, func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
					time.Sleep(time.Hour)
					same(w, "last look", seen, node.StateDeploying)
					return x.ProcessEvent(ctx, node.EventDone, task.Transition{})
				}})
			}), nil)
			if err := s.Upgrade(ctx, "", 0, nothing); err == nil {
				w.Error("upgraded again")
			}
			seen = s.Node().ProvisionState
			return nil
		})
		w.want(c.Shared(w.Context(), in(id, ""), looks), lease.ErrHeld)
		time.Sleep(time.Hour + time.Second)
		same(w, "state", w.stored(id).ProvisionState, node.StateActive)
		w.free(id)
	})
	bubble(t, "work that does not start gives its worker back", func(w *world) {
		c, id := w.conductor("c1", crowded), w.node(node.StateAvailable)
		calls := 0
		register := func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{
				Work: nothing,
				OnError: func(ctx context.Context, x *task.Exclusive, err error, state, target node.ProvisionState) {
					calls++
					x.Node().ProvisionState, x.Node().TargetProvisionState = state, target
					w.want(x.Save(ctx), nil)
				},
			})
		}
		look := func(body func(context.Context, *task.Shared) error) {
			defer func() { _ = recover() }()
			w.want(c.Shared(w.Context(), in(id, ""), body), errBody)
		}
		look(func(ctx context.Context, s *task.Shared) error { // after the upgrade
			w.want(s.Upgrade(ctx, "", 0, register), nil)
			return errBody
		})
		look(func(ctx context.Context, s *task.Shared) error {
			w.want(s.Upgrade(ctx, "", 0, register), nil)
			panic("after the upgrade")
		})
		look(func(ctx context.Context, s *task.Shared) error {
			return s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				return errors.Join(register(ctx, x), errBody)
			})
		})
		look(func(ctx context.Context, s *task.Shared) error {
			return s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				w.want(register(ctx, x), nil)
				panic("in the upgrade")
			})
		})
		same(w, "calls of the handler", calls, 4)
		same(w, "state", w.stored(id).ProvisionState, node.StateAvailable)
		w.free(id)
		c.fill()()
	})
	bubble(t, "a panic that the reader catches leaves a shared lock", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		a.shared(id, "look", func(ctx context.Context, s *task.Shared) error {
			func() {
				defer func() { same(w, "panic", recover(), any("boom")) }()
				_ = s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
					x.SaveAtEnd()
					x.Node().Description = "half"
					panic("boom")
				})
			}()
			b.shared(id, "beside", func(context.Context, *task.Shared) error { return nil })
			return s.Check()
		})
		same(w, "description", w.stored(id).Description, "")
		w.free(id)
	})
	bubble(t, "a snapshot does not share records with background work", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.Snapshot(w.Context(), in(id, ""), func(ctx context.Context, s *task.Snapshot) error {
			w.want(s.Upgrade(ctx, "", 0, func(_ context.Context, x *task.Exclusive) error {
				x.SpawnAfter("", func(_ context.Context, x *task.Exclusive) error {
					x.Node().Description = "work" // the race detector looks on
					x.SaveAtEnd()
					return nil
				})
				return nil
			}), nil)
			same(w, "description", s.Node().Description, "")
			synctest.Wait()
			return s.Check()
		}), nil)
		same(w, "description", w.stored(id).Description, "work")
	})
	bubble(t, "another driver is composed anew", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		w.want(c.Snapshot(w.Context(), task.Request{Node: id, NoDriver: true}, func(ctx context.Context, s *task.Snapshot) error {
			return s.Upgrade(ctx, "", 0, func(ctx context.Context, x *task.Exclusive) error {
				w.want(x.LoadDriver(), nil)
				return x.Driver().Power.Set(ctx, node.PowerOn)
			})
		}), nil)
		c.shared(id, "look", func(ctx context.Context, s *task.Shared) error {
			n := w.stored(id) // past the lock, as etcdctl might
			old := n.Clone()
			n.Driver = "gone"
			ch, err := w.store.Keys().Update(old, n)
			w.want(err, nil)
			_, err = w.store.Commit(ctx, ch)
			w.want(err, nil)
			err = s.Upgrade(ctx, "", 0, func(context.Context, *task.Exclusive) error {
				w.Error("it ran with the driver of before")
				return nil
			})
			if err == nil {
				w.Error("upgraded without a driver")
			}
			return s.Check()
		})
		w.free(id)
	})
}

func TestDowngrade(t *testing.T) {
	bubble(t, "readers come in, nothing is written after it", func(w *world) {
		a, b, id := w.conductor("a"), w.conductor("b"), w.node("")
		a.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SaveAtEnd()
			x.Node().Description = "final"
			return x.Downgrade(ctx, func(ctx context.Context, s *task.Shared) error {
				w.want(x.Check(), task.ErrReleased)
				w.want(x.Save(ctx), task.ErrReleased)
				w.want(x.Driver().Power.Set(ctx, node.PowerOn), task.ErrReleased)
				same(w, "description", w.stored(id).Description, "final")
				same(w, "description", s.Node().Description, "final")
				b.shared(id, "beside", func(context.Context, *task.Shared) error { return nil })
				_, err := s.Driver().Power.Get(ctx)
				return err
			})
		})
		w.free(id)
	})
	bubble(t, "and up again, with work", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		ran := false
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.Downgrade(ctx, func(ctx context.Context, s *task.Shared) error {
				return s.Upgrade(ctx, "", 0, func(_ context.Context, x *task.Exclusive) error {
					x.SpawnAfter("", func(context.Context, *task.Exclusive) error { ran = true; return nil })
					return nil
				})
			})
		})
		synctest.Wait()
		same(w, "ran", ran, true)
		w.free(id)
	})
	bubble(t, "not with work registered", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.SpawnAfter("", nothing)
			if err := x.Downgrade(ctx, func(context.Context, *task.Shared) error { return nil }); err == nil {
				w.Error("the work would run under a shared lock")
			}
			return x.Check()
		})
		synctest.Wait()
		w.free(id)
	})
	bubble(t, "a foreign waiter keeps it exclusive", func(w *world) {
		c, id := w.conductor("c1"), w.node("")
		foreign := "locks/" + string(id) + "/694d9a0f0c0ffee"
		c.shared(id, "look", func(ctx context.Context, s *task.Shared) error {
			return s.Upgrade(ctx, "", 0, nothing)
		})
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			w.put(foreign, "") // as etcdctl lock
			x.Node().Description = "final"
			x.SaveAtEnd()
			return x.Downgrade(ctx, func(ctx context.Context, s *task.Shared) error {
				same(w, "description", w.stored(id).Description, "final")
				same(w, "mode", w.queue(id).Holders()[0].Mode, lease.Exclusive)
				return s.Upgrade(ctx, "again", 0, func(ctx context.Context, x *task.Exclusive) error {
					same(w, "description", x.Node().Description, "final")
					x.Node().Description = "and more" // the records are those of now
					return x.Save(ctx)
				})
			})
		})
		same(w, "description", w.stored(id).Description, "and more")
		w.want(c.try(id, nothing), lease.ErrHeld) // the foreigner has it now
		if _, err := w.admin.Delete(w.Context(), lease.DefaultRoot+foreign); err != nil {
			w.Fatal(err)
		}
		w.free(id)
	})
}
