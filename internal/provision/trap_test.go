package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// These are what was found wrong in Ironic by reading it (facts, section 10).

// 10.3: Ironic's pool of workers refuses for good after it was full once.
func TestTrap10_3_AFullPoolRecovers(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		c.workers = 3
		p, _ := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		ids := []node.ID{c.node}
		for range 4 {
			ids = append(ids, c.another(t, node.StateManageable))
		}
		for round := range 10 {
			refused := 0
			for _, id := range ids {
				before := c.readOf(t, id)
				err := p.Do(t.Context(), provision.Request{Node: id, Verb: provision.Inspect})
				if errors.Is(err, task.ErrNoWorker) {
					refused++
					if n := c.readOf(t, id); n.Revision != before.Revision {
						t.Errorf("refused, but %q: %s", n.ProvisionState, n.LastError)
					}
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if refused != 2 {
				t.Errorf("round %d: %d refused, want 2", round, refused)
			}
			settle()
			for _, id := range ids {
				if n := c.readOf(t, id); n.ProvisionState != node.StateManageable {
					t.Errorf("round %d: %q", round, n.ProvisionState)
				}
			}
			c.unlocked(t)
		}
	})
}

// 10.4: a verb that Ironic accepts while it stops leaves the node deploying, with
// nobody at work.
func TestTrap10_4_NoVerbWhileStopping(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 20 * time.Second})
		busy := c.another(t, node.StateManageable)
		if err := p.Do(t.Context(), provision.Request{Node: busy, Verb: provision.Inspect}); err != nil {
			t.Fatal(err)
		}
		hold := func(ctx context.Context, x *task.Exclusive) error { time.Sleep(3 * time.Second); return nil }
		go func() { _ = tasks.Exclusive(t.Context(), task.Request{Node: c.node}, hold) }()
		synctest.Wait()
		early := make(chan error, 1)
		go func() { // waits for the lock when the stop begins
			early <- p.Do(t.Context(), provision.Request{Node: c.node, Verb: provision.Inspect, Wait: time.Minute})
		}()
		time.Sleep(time.Second)
		closed := make(chan error, 1)
		go func() { closed <- tasks.Close(t.Context()) }()
		synctest.Wait()
		start := time.Now()
		if err := p.Do(t.Context(), provision.Request{Node: c.node, Verb: provision.Inspect}); !errors.Is(err, task.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("late: %v after %s", err, time.Since(start))
		}
		if err := <-early; !errors.Is(err, task.ErrClosed) {
			t.Errorf("early: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		for _, id := range []node.ID{c.node, busy} {
			if n := c.readOf(t, id); n.ProvisionState != node.StateManageable {
				t.Errorf("left %q", n.ProvisionState)
			}
		}
		c.unlocked(t)
	})
}

// 10.6: Ironic cannot end the abort of a deployment that is held: the instance's
// data are gone, and the event that it fires is not known in deploy failed.
func TestTrap10_6_AbortOfDeployHold(t *testing.T) {
	for _, then := range []provision.Verb{provision.Deploy, provision.Rebuild, provision.Undeploy} {
		t.Run("then "+string(then), func(t *testing.T) {
			instance := func(n *node.Node) { n.InstanceInfo = node.Object{"image_source": "http://x/y"} }
			inBubble(t, in(node.StateAvailable, instance), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				n := c.do(t, p, c.stepped(provision.Deploy, step("deploy", "hold")))
				if n.ProvisionState != node.StateDeployHold || n.ActionSlot != "" {
					t.Fatalf("%q, slot %q: %s", n.ProvisionState, n.ActionSlot, n.LastError)
				}
				n = c.do(t, p, c.request(provision.Abort))
				if n.ProvisionState != node.StateDeployFailed || !strings.Contains(n.LastError, "aborted by request") || strings.Contains(n.LastError, "clean") {
					t.Errorf("%q: %s", n.ProvisionState, n.LastError)
				}
				if n.InstanceInfo.Text("image_source") == "" {
					t.Error("there is nothing left to deploy")
				}
				if got := c.sent(); !strings.HasSuffix(got, "deploy.CleanUp, deploy.TearDown") {
					t.Errorf("sent %q", got)
				}
				c.unlocked(t)
				want := node.StateActive
				if then == provision.Undeploy {
					want = node.StateAvailable
				}
				resting(t, c.do(t, p, c.request(then)), want)
			})
		})
	}
}

// 10.7: Ironic fails a service that was held, when it is done.
func TestTrap10_7_UnholdOfServiceHold(t *testing.T) {
	tests := []struct {
		name  string
		after []hardware.Step
		waits bool
	}{
		{"nothing is left to do", nil, false},
		{"a step is left", []hardware.Step{step("vendor", "log_passthrough")}, false},
		{"a step is left that waits", []hardware.Step{step("vendor", "trigger_servicewait")}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, in(node.StateActive), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				n := c.do(t, p, c.stepped(provision.Service, append([]hardware.Step{step("deploy", "hold")}, tt.after...)...))
				if n.ProvisionState != node.StateServiceHold {
					t.Fatalf("%q: %s", n.ProvisionState, n.LastError)
				}
				if err := p.Do(t.Context(), c.request(provision.Unhold)); err != nil {
					t.Fatal(err)
				}
				settle()
				if tt.waits {
					c.next(t, p)
				}
				resting(t, c.read(t), node.StateActive)
				c.unlocked(t)
			})
		})
	}
}

// 10.8: Ironic answers 500 to a rebuild without an image source.
func TestTrap10_8_RebuildWithoutImageSource(t *testing.T) {
	inBubble(t, in(node.StateActive, func(n *node.Node) {
		n.InstanceInfo, n.Lessee = nil, "bob"
		n.DriverInternalInfo = node.Object{"automatic_lessee": true}
	}), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		n := c.do(t, p, c.request(provision.Rebuild))
		resting(t, n, node.StateActive)
		if n.Lessee != "bob" || n.DriverInternalInfo["automatic_lessee"] != true {
			t.Errorf("lessee %q, %v", n.Lessee, n.DriverInternalInfo)
		}
		n = c.do(t, p, c.request(provision.Undeploy))
		if n.Lessee != "" || n.DriverInternalInfo["automatic_lessee"] != nil {
			t.Errorf("after the tear-down: lessee %q, %v", n.Lessee, n.DriverInternalInfo)
		}
	})
}
