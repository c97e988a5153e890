package provision_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// next continues what waits, and answers the continuation.
func (c *cluster) next(t *testing.T, p *provision.Provisioner) provision.Continuation {
	t.Helper()
	now, waits := p.Waiting(c.read(t))
	if !waits {
		t.Fatalf("nothing waits in %q: %s", c.read(t).ProvisionState, c.read(t).LastError)
	}
	if err := p.Continue(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	settle()
	return now
}

// What is left to the machine waits without a lock, and goes on when it is
// continued, up to the end.
func TestWaitAndContinue(t *testing.T) {
	tests := []struct {
		verb   provision.Verb
		from   node.ProvisionState
		waits  []string
		in     node.ProvisionState
		target node.ProvisionState
		to     node.ProvisionState
	}{
		{provision.Provide, node.StateManageable, []string{"deploy.PrepareCleaning", "vendor.log_passthrough"}, node.StateCleanWait, node.StateAvailable, node.StateAvailable},
		{provision.Clean, node.StateManageable, []string{"deploy.PrepareCleaning", "vendor.log_passthrough"}, node.StateCleanWait, node.StateManageable, node.StateManageable},
		{provision.Undeploy, node.StateActive, []string{"deploy.PrepareCleaning", "vendor.log_passthrough"}, node.StateCleanWait, node.StateAvailable, node.StateAvailable},
		{provision.Deploy, node.StateAvailable, []string{"deploy.deploy"}, node.StateWaitCallBack, node.StateActive, node.StateActive},
		{provision.Service, node.StateActive, []string{"deploy.PrepareService", "vendor.log_passthrough"}, node.StateServiceWait, node.StateActive, node.StateActive},
		{provision.Inspect, node.StateManageable, []string{"inspect.Inspect"}, node.StateInspectWait, node.StateManageable, node.StateManageable},
		{provision.Rescue, node.StateActive, []string{"rescue.Rescue"}, node.StateRescueWait, node.StateRescue, node.StateRescue},
	}
	for _, tt := range tests {
		t.Run(string(tt.verb), func(t *testing.T) {
			inBubble(t, in(tt.from, waiting(tt.waits...)), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.do(t, p, c.request(tt.verb))
				for i, call := range tt.waits {
					n := c.read(t)
					if n.ProvisionState != tt.in || n.TargetProvisionState != tt.target || n.LastError != "" {
						t.Fatalf("wait for %s: %q, target %q: %s", call, n.ProvisionState, n.TargetProvisionState, n.LastError)
					}
					c.unlocked(t)
					if now := c.next(t, p); now.Generation != int64(i+1) {
						t.Errorf("wait %d is generation %d", i+1, now.Generation)
					}
				}
				resting(t, c.read(t), tt.to)
				c.unlocked(t)
			})
		})
	}
}

// Ironic once skipped a step because two polls continued the same one. A
// continuation that is late or came twice does nothing. (Facts 9, row 14.)
func TestContinueTwice(t *testing.T) {
	three := []hardware.Step{step("vendor", "log_passthrough"), biosStep(), step("bios", "factory_reset")}
	waits := waiting("vendor.log_passthrough", "bios.apply_configuration", "bios.factory_reset")
	inBubble(t, in(node.StateManageable, waits), func(t *testing.T, c *cluster) {
		first, _ := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		c.do(t, first, c.stepped(provision.Clean, three...))
		old := c.next(t, first)
		before := c.read(t)
		for _, stale := range []provision.Continuation{
			old,
			{Node: c.node, Kind: hardware.CleanStep, Index: 1, Generation: old.Generation},
			{Node: c.node, Kind: hardware.CleanStep, Index: 0, Generation: old.Generation + 1},
			{Node: c.node, Kind: hardware.DeployStep, Index: 1, Generation: old.Generation + 1},
			{Node: c.node},
		} {
			if err := second.Continue(t.Context(), stale); err != nil {
				t.Errorf("%+v: %v", stale, err)
			}
		}
		settle()
		if n := c.read(t); n.Revision != before.Revision || n.CleanStep.Text("step") != "apply_configuration" {
			t.Errorf("moved on to %v", n.CleanStep)
		}
		now, _ := first.Waiting(c.read(t)) // by two at once, of whom one waits for the lock
		now.Wait = 1e9
		done := make(chan error, 2)
		for _, p := range []*provision.Provisioner{first, second} {
			go func() { done <- p.Continue(t.Context(), now) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		settle()
		if n := c.read(t); n.ProvisionState != node.StateCleanWait || n.CleanStep.Text("step") != "factory_reset" {
			t.Errorf("%q in %v", n.ProvisionState, n.CleanStep)
		}
		c.next(t, second)
		resting(t, c.read(t), node.StateManageable)
		if got, want := c.sent(), "vendor.log_passthrough, bios.apply_configuration, bios.factory_reset"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		if err := second.Continue(t.Context(), now); err != nil { // long over
			t.Error(err)
		}
		c.unlocked(t)
	})
}

// The generation goes on counting from one cleaning to the next, so that a
// continuation of the first cannot be taken for one of the second.
func TestGenerationsGoOn(t *testing.T) {
	inBubble(t, in(node.StateManageable, waiting("vendor.log_passthrough")), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		c.do(t, p, c.request(provision.Clean))
		old := c.next(t, p)
		n := c.do(t, p, c.request(provision.Clean))
		if err := p.Continue(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		settle()
		if now := c.read(t); now.Revision != n.Revision || now.ProvisionState != node.StateCleanWait {
			t.Errorf("continued: %q", now.ProvisionState)
		}
	})
}

// A step that must not be aborted ends, and then the rest is.
func TestAbort(t *testing.T) {
	tests := []struct {
		verb  provision.Verb
		from  node.ProvisionState
		steps []hardware.Step
		waits string
		in    node.ProvisionState // where it is aborted
		to    node.ProvisionState
		later bool // after the step
		sent  string
	}{
		{provision.Provide, node.StateManageable, nil, "vendor.log_passthrough", node.StateCleanWait, node.StateCleanFailed, false, ""},
		{provision.Provide, node.StateManageable, nil, "deploy.PrepareCleaning", node.StateCleanWait, node.StateCleanFailed, false, ""},
		{provision.Clean, node.StateManageable, []hardware.Step{biosStep(), step("vendor", "log_passthrough")}, "bios.apply_configuration", node.StateCleanWait, node.StateCleanFailed, true, ""},
		{provision.Clean, node.StateManageable, []hardware.Step{step("power", "hold")}, "no.thing", node.StateCleanHold, node.StateCleanFailed, false, ""},
		{provision.Clean, node.StateManageable, []hardware.Step{step("power", "wait")}, "no.thing", node.StateCleanWait, node.StateCleanFailed, false, ""},
		{provision.Deploy, node.StateAvailable, nil, "deploy.deploy", node.StateWaitCallBack, node.StateDeployFailed, false, "deploy.CleanUp"},
		{provision.Service, node.StateActive, nil, "vendor.log_passthrough", node.StateServiceWait, node.StateActive, false, ""},
		{provision.Service, node.StateActive, []hardware.Step{step("power", "hold")}, "no.thing", node.StateServiceHold, node.StateActive, false, ""},
		{provision.Rescue, node.StateActive, nil, "rescue.Rescue", node.StateRescueWait, node.StateRescueFailed, false, ""},
		{provision.Inspect, node.StateManageable, nil, "inspect.Inspect", node.StateInspectWait, node.StateInspectFailed, false, "inspect.Abort"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s of %s", tt.in, tt.waits), func(t *testing.T) {
			inBubble(t, in(tt.from, waiting(tt.waits)), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				r := c.request(tt.verb)
				if tt.steps != nil {
					r.Steps = tt.steps
				}
				n := c.do(t, p, r)
				target := n.TargetProvisionState
				if n.ProvisionState != tt.in {
					t.Fatalf("%q: %s", n.ProvisionState, n.LastError)
				}
				n = c.do(t, p, c.request(provision.Abort))
				if tt.later {
					if n.ProvisionState != tt.in || n.TargetProvisionState != target || n.CleanStep["abort_after"] != true {
						t.Fatalf("%q, target %q, step %v", n.ProvisionState, n.TargetProvisionState, n.CleanStep)
					}
					c.next(t, p)
					n = c.read(t)
				}
				if n.ProvisionState != tt.to || !strings.Contains(n.LastError, "aborted by request") || n.Maintenance {
					t.Errorf("%q, maintenance %v: %s", n.ProvisionState, n.Maintenance, n.LastError)
				}
				if tt.to != node.StateActive && n.TargetProvisionState != target {
					t.Errorf("target %q, was %q", n.TargetProvisionState, target)
				}
				if n.CleanStep != nil || n.DeployStep != nil || n.ServiceStep != nil || n.DriverInternalInfo["agent_url"] != nil {
					t.Errorf("left behind: %v %v %v", n.CleanStep, n.DeployStep, n.ServiceStep)
				}
				if tt.sent != "" && !strings.HasSuffix(c.sent(), tt.sent) {
					t.Errorf("sent %q, want %q at its end", c.sent(), tt.sent)
				}
				if strings.Count(c.sent(), "log_passthrough") > 0 && tt.later {
					t.Error("went on after the abort")
				}
				c.unlocked(t)
			})
		})
	}
}

// An inspection that cannot be aborted goes on.
func TestAbortUnsupported(t *testing.T) {
	inBubble(t, in(node.StateInspectWait), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		before := c.read(t)
		if err := p.Do(t.Context(), c.request(provision.Abort)); !errors.Is(err, hardware.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		settle()
		if n := c.read(t); n.Revision != before.Revision {
			t.Errorf("written: %q", n.ProvisionState)
		}
	})
}
