package provision_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// firmwareStep is a clean step that must not be run twice unseen.
func firmwareStep() hardware.Step {
	return step("firmware", "update", "settings", []any{object{"component": "bmc", "url": "http://x/2.0"}})
}

// A conductor that is cut off in the middle of a verb leaves the node to the
// next, who goes on with a step that may be run again, and fails everything else.
func TestRecover(t *testing.T) {
	tests := []struct {
		verb    provision.Verb
		from    node.ProvisionState
		steps   []hardware.Step
		on      string // the command during which it happens
		to      node.ProvisionState
		target  node.ProvisionState
		fault   string
		resumed bool
	}{
		{provision.Manage, node.StateEnroll, nil, "bios.Cache", node.StateEnroll, "", "", false},
		{provision.Inspect, node.StateManageable, nil, "inspect.Inspect", node.StateInspectFailed, node.StateManageable, "", false},
		{provision.Adopt, node.StateManageable, nil, "deploy.TakeOver", node.StateAdoptFailed, node.StateActive, "", false},
		{provision.Deploy, node.StateAvailable, nil, "deploy.Prepare", node.StateDeployFailed, node.StateActive, "", false},
		{provision.Deploy, node.StateAvailable, nil, "deploy.deploy", node.StateActive, "", "", true},
		{provision.Provide, node.StateManageable, nil, "vendor.log_passthrough", node.StateAvailable, "", "", true},
		{provision.Clean, node.StateManageable, []hardware.Step{firmwareStep(), biosStep()}, "firmware.update", node.StateCleanFailed, node.StateManageable, "clean failure", false},
		{provision.Clean, node.StateManageable, []hardware.Step{firmwareStep(), biosStep()}, "bios.apply_configuration", node.StateManageable, "", "", true},
		{provision.Undeploy, node.StateActive, nil, "deploy.TearDown", node.StateError, "", "", false},
		{provision.Undeploy, node.StateActive, nil, "vendor.log_passthrough", node.StateAvailable, "", "", true},
		{provision.Rescue, node.StateActive, nil, "rescue.Rescue", node.StateRescueFailed, node.StateRescue, "", false},
		{provision.Unrescue, node.StateRescue, nil, "rescue.Unrescue", node.StateUnrescueFailed, node.StateActive, "", false},
		{provision.Service, node.StateActive, nil, "vendor.log_passthrough", node.StateActive, "", "", true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s during %s", tt.verb, tt.on), func(t *testing.T) {
			inBubble(t, in(tt.from), func(t *testing.T, c *cluster) {
				first, _ := c.conductor(t, "c1")
				second, _ := c.conductor(t, "c2")
				c.bmc.Press(c.node, node.PowerOn)
				c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
				r := c.request(tt.verb)
				if tt.steps != nil {
					r.Steps = tt.steps
				}
				if err := first.Do(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				c.reaches(t, tt.on)
				c.etcd.Cut("c1")
				if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				n := c.read(t)
				if n.ProvisionState != tt.to || n.TargetProvisionState != tt.target || n.Fault != tt.fault || n.ActionSlot != "" {
					t.Errorf("%q, target %q, fault %q, slot %q: %s", n.ProvisionState, n.TargetProvisionState, n.Fault, n.ActionSlot, n.LastError)
				}
				if tt.resumed != (n.LastError == "") || !tt.resumed && !strings.Contains(n.LastError, "conductor c1") {
					t.Errorf("last error %q", n.LastError)
				}
				if tt.fault != "" && !strings.Contains(n.LastError, tt.on+" (1 of 2) may not be run again") {
					t.Errorf("last error %q", n.LastError)
				}
				if tt.to != node.StateAdoptFailed && n.PowerState != node.PowerOn {
					t.Errorf("power state %q", n.PowerState)
				}
				if got, want := strings.Count(c.sent(), tt.on), map[bool]int{true: 2, false: 1}[tt.resumed]; got != want {
					t.Errorf("sent %q", c.sent())
				}
				if o := c.bmc.Overlaps(); len(o) > 0 {
					t.Errorf("overlaps: %v", o)
				}
				c.unlocked(t)
				c.etcd.HealAll()
			})
		})
	}
}

// reaches waits until the machine works on a command.
func (c *cluster) reaches(t *testing.T, command string) {
	t.Helper()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if all := c.bmc.Commands(c.node); len(all) > 0 && all[len(all)-1].Method == command {
			return
		}
	}
	t.Fatalf("%s never happens: %q", command, c.sent())
}

// A node in the middle of something, which nobody does and of which nothing tells,
// fails too. What waits, waits on; what rests, rests; and the section is closed.
func TestRecoverStates(t *testing.T) {
	for _, state := range node.States() {
		for _, left := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, a section left: %v", state, left), func(t *testing.T) {
				inBubble(t, in(state), func(t *testing.T, c *cluster) {
					p, _ := c.conductor(t, "c1")
					if left {
						abandon(t, c, lease.Request{Name: string(c.node), Purpose: "flash.sh"})
					}
					before := c.read(t)
					if err := p.Recover(t.Context(), c.node, 0); err != nil {
						t.Fatal(err)
					}
					settle()
					n := c.read(t)
					want := state
					if node.Stuck.Has(state) {
						want, _ = state.After(node.EventFail)
					}
					if n.ProvisionState != want {
						t.Errorf("%q, want %q: %s", n.ProvisionState, want, n.LastError)
					}
					if !left && want == state && n.Revision != before.Revision {
						t.Error("written for nothing")
					}
					if told := strings.Contains(n.LastError, "flash.sh"); told != (left && node.Failure.Has(want) || left && want != state) {
						t.Errorf("last error %q", n.LastError)
					}
					c.unlocked(t)
				})
			})
		}
	}
}

// A power action that was cut off is no longer aimed at, and what the machine
// says counts, once the dead one's command has arrived.
func TestRecoverAPowerAction(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		c.bmc.SetLatency(hardwaretest.Latency{Request: 25 * time.Second})
		if err := first.SetPower(t.Context(), c.node, node.PowerOn, 0, 0, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(26 * time.Second) // the command is on its way until 50 s
		c.etcd.Cut("c1")
		c.bmc.SetLatency(hardwaretest.Latency{})
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n := c.read(t)
		if n.PowerState != node.PowerOn || n.TargetPowerState != "" || !strings.Contains(n.LastError, "conductor c1") {
			t.Errorf("%q, target %q: %s", n.PowerState, n.TargetPowerState, n.LastError)
		}
		c.unlocked(t)
		c.etcd.HealAll()
	})
}

// What is aimed at without anybody who aims goes with the next verb.
func TestStaleTargetPowerState(t *testing.T) {
	inBubble(t, in(node.StateManageable, func(n *node.Node) { n.TargetPowerState = node.PowerOn }), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		if n := c.do(t, p, c.request(provision.Inspect)); n.TargetPowerState != "" {
			t.Errorf("target power state %q", n.TargetPowerState)
		}
	})
}

// A recovery that cannot be done leaves the section open: without a free worker,
// and when its conductor dies too.
func TestRecoverFails(t *testing.T) {
	inBubble(t, in(node.StateInspecting), func(t *testing.T, c *cluster) {
		c.workers = 3
		first, _ := c.conductor(t, "c1")
		abandon(t, c, lease.Request{Name: string(c.node), Purpose: "inspect"})
		c.bmc.SetLatency(hardwaretest.Latency{Work: time.Minute})
		for range 3 {
			r := provision.Request{Node: c.another(t, node.StateManageable), Verb: provision.Inspect}
			if err := first.Do(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Recover(t.Context(), c.node, 0); !errors.Is(err, task.ErrNoWorker) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := first.Recover(t.Context(), c.node, 0); err != nil { // waits for the dead one's last command
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		c.etcd.Cut("c1")
		second, _ := c.conductor(t, "c2")
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		n := c.read(t)
		if n.ProvisionState != node.StateInspectFailed || !strings.Contains(n.LastError, "conductor c1") || !strings.Contains(n.LastError, "dead before") {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.unlocked(t)
		c.etcd.HealAll()
	})
}

// A node whose driver is gone can be recovered, but not resumed.
func TestRecoverWithoutADriver(t *testing.T) {
	inBubble(t, in(node.StateAvailable), func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Second})
		if err := first.Do(t.Context(), c.request(provision.Deploy)); err != nil {
			t.Fatal(err)
		}
		c.reaches(t, "deploy.deploy")
		c.etcd.Cut("c1")
		time.Sleep(time.Minute)
		c.put(t, func(n *node.Node) { n.Driver = "gone" })
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		settle()
		n := c.read(t)
		if n.ProvisionState != node.StateDeployFailed || !strings.Contains(n.LastError, "gone") || !strings.Contains(n.LastError, "could be run again, but") {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.unlocked(t)
		c.etcd.HealAll()
	})
}

// A conductor that stops in the middle of its work does not fail the node: it
// leaves a section, and the next one goes on.
func TestStopInTheMiddle(t *testing.T) {
	inBubble(t, in(node.StateManageable), func(t *testing.T, c *cluster) {
		first, tasks := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		c.bmc.SetLatency(hardwaretest.Latency{Work: 5 * time.Minute})
		if err := first.Do(t.Context(), c.request(provision.Provide)); err != nil {
			t.Fatal(err)
		}
		c.reaches(t, "vendor.log_passthrough")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tasks.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if n := c.read(t); n.ProvisionState != node.StateCleaning || n.LastError != "" {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.stops["c1"]()
		if err := second.Recover(t.Context(), c.node, time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		resting(t, c.read(t), node.StateAvailable)
		c.unlocked(t)
	})
}
