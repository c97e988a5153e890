package task_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// TestIronicNotify ends the numbers: what subscribers are told.
func TestIronicNotify(t *testing.T) {
	bubble(t, "46_no_event", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			x.Node().Extra = node.Object{"a": "b"}
			return x.Save(ctx)
		})
		same(w, "notifications", len(c.told())+len(w.keys("events/")), 0)
	})
	for _, to := range []struct {
		name          string
		from          node.ProvisionState
		event         node.Event
		to            node.ProvisionState
		level, status string
	}{
		{"47_fail_is_an_error", node.StateDeploying, node.EventFail, node.StateDeployFailed, "ERROR", "error"},
		{"48_unstable_to_unstable", node.StateWaitCallBack, node.EventResume, node.StateDeploying, "INFO", "success"},
		{"49_stable_to_unstable", node.StateAvailable, node.EventDeploy, node.StateDeploying, "INFO", "start"},
		{"50_unstable_to_stable", node.StateDeploying, node.EventDone, node.StateActive, "INFO", "end"},
		{"51_stable_to_stable", node.StateAvailable, node.EventManage, node.StateManageable, "INFO", "success"},
		{"50_abort_is_an_end", node.StateCleanWait, node.EventAbort, node.StateCleanFailed, "INFO", "end"},
	} {
		bubble(t, to.name, func(w *world) {
			c, id := w.conductor("c1"), w.node(to.from)
			target := to.from.DefaultTarget()
			var token int64
			c.must(id, func(ctx context.Context, x *task.Exclusive) error {
				token = int64(x.Token())
				x.Node().TargetProvisionState = target
				return x.ProcessEvent(ctx, to.event, task.Transition{})
			})
			told := c.told()
			if len(told) != 1 {
				w.Fatalf("%d notifications, want 1", len(told))
			}
			n := told[0]
			same(w, "type", n.Type, "baremetal.node.provision_set."+to.status)
			same(w, "level", n.Level, to.level)
			same(w, "event", n.Event, to.event)
			same(w, "from", n.PreviousState, to.from)
			same(w, "from target", n.PreviousTarget, target)
			same(w, "to", n.State, to.to)
			same(w, "node", n.Node, id)
			same(w, "token", int64(n.Token), token)
		})
	}
	bubble(t, "52_work_ended_before", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateAvailable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			return x.ProcessEvent(ctx, node.EventDeploy, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
				return x.ProcessEvent(ctx, node.EventDone, task.Transition{})
			}})
		})
		synctest.Wait()
		order(w, c, node.EventDeploy, node.EventDone) // however fast the work is
		same(w, "start", c.told()[0].State, node.StateDeploying)
	})
	bubble(t, "53_once", func(w *world) {
		c, id := w.conductor("c1"), w.node(node.StateManageable)
		c.must(id, func(ctx context.Context, x *task.Exclusive) error {
			// The illegal event is not told with the spawn either.
			w.want(x.ProcessEvent(ctx, node.EventDone, task.Transition{}), node.ErrInvalidState)
			w.want(x.ProcessEvent(ctx, node.EventClean, task.Transition{Work: func(ctx context.Context, x *task.Exclusive) error {
				time.Sleep(time.Second)
				return nil
			}}), nil)
			same(w, "before the spawn", len(c.told()), 0)
			return nil
		})
		same(w, "after the spawn", len(c.told()), 1)
		time.Sleep(time.Minute)
		order(w, c, node.EventClean)
	})
}

// order fails unless exactly these events were told, in this order, and are stored so.
func order(w *world, c *conductor, want ...node.Event) {
	w.Helper()
	told := c.told()
	if len(told) != len(want) {
		w.Fatalf("%d notifications, want %d: %+v", len(told), len(want), told)
	}
	for i, e := range want {
		same(w, "event", told[i].Event, e)
	}
	keys := w.keys("events/")
	if len(keys) != len(want) {
		w.Fatalf("stored: %v, want %d events", keys, len(want))
	}
	for i, n := range told {
		same(w, "stored as", keys[i], "events/"+string(n.Node)+"/"+n.ID)
	}
}
