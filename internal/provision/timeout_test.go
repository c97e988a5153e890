package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func TestTimeouts(t *testing.T) {
	tests := []struct {
		verb   provision.Verb
		from   node.ProvisionState
		waits  string
		to     node.ProvisionState
		target node.ProvisionState
		fault  string
		sent   string
	}{
		{provision.Deploy, node.StateAvailable, "deploy.deploy", node.StateDeployFailed, node.StateActive, "", "deploy.Prepare, deploy.deploy, deploy.CleanUp"},
		{provision.Provide, node.StateManageable, "deploy.PrepareCleaning", node.StateCleanFailed, node.StateAvailable, "", ""},
		{provision.Provide, node.StateManageable, "vendor.log_passthrough", node.StateCleanFailed, node.StateAvailable, "clean failure", "vendor.log_passthrough"},
		{provision.Clean, node.StateManageable, "vendor.log_passthrough", node.StateCleanFailed, node.StateManageable, "clean failure", "vendor.log_passthrough"},
		{provision.Rescue, node.StateActive, "rescue.Rescue", node.StateRescueFailed, node.StateRescue, "", "rescue.Rescue, power.Set power off"},
		{provision.Service, node.StateActive, "vendor.log_passthrough", node.StateServiceFailed, node.StateActive, "service failure", "vendor.log_passthrough"},
		{provision.Inspect, node.StateManageable, "inspect.Inspect", node.StateInspectFailed, node.StateManageable, "", "inspect.Inspect, inspect.Abort"},
	}
	for _, tt := range tests {
		t.Run(string(tt.verb)+" in "+tt.waits, func(t *testing.T) {
			inBubble(t, in(tt.from, waiting(tt.waits)), func(t *testing.T, c *cluster) {
				c.bmc.Press(c.node, node.PowerOn)
				p, _ := c.conductor(t, "c1")
				waits := c.do(t, p, c.request(tt.verb)).ProvisionState
				if waits == tt.to {
					t.Fatal(c.read(t).LastError)
				}
				time.Sleep(28 * time.Minute)
				c.sweep(t, p)
				if n := c.read(t); n.ProvisionState != waits {
					t.Fatalf("too early: %q", n.ProvisionState)
				}
				time.Sleep(2 * time.Minute)
				c.sweep(t, p)
				n := c.read(t)
				if n.ProvisionState != tt.to || n.TargetProvisionState != tt.target || !strings.Contains(n.LastError, "timeout of 30m0s") {
					t.Errorf("%q, target %q: %s", n.ProvisionState, n.TargetProvisionState, n.LastError)
				}
				if n.Fault != tt.fault || n.Maintenance != (tt.fault != "") || n.ActionSlot != "" || n.InstanceInfo["rescue_password"] != nil {
					t.Errorf("fault %q, maintenance %v, slot %q, %v", n.Fault, n.Maintenance, n.ActionSlot, n.InstanceInfo)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
				c.unlocked(t)
			})
		})
	}
}

func (c *cluster) sweep(t *testing.T, p *provision.Provisioner) {
	t.Helper()
	if err := p.CheckTimeouts(t.Context()); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// These are not overdue, however old they are.
func TestNotOverdue(t *testing.T) {
	tests := []struct {
		name   string
		state  node.ProvisionState
		change func(*node.Node)
		config provision.Config
	}{
		{"maintenance", node.StateCleanWait, func(n *node.Node) { n.Maintenance = true }, provision.Config{}},
		{"held", node.StateCleanHold, nil, provision.Config{}},
		{"held deployment", node.StateDeployHold, nil, provision.Config{}},
		{"rests", node.StateActive, nil, provision.Config{}},
		{"a worker has it", node.StateDeploying, nil, provision.Config{}},
		{"no timeout", node.StateWaitCallBack, nil, provision.Config{DeployCallbackTimeout: -1}},
		{"a longer one", node.StateServiceWait, nil, provision.Config{ServiceCallbackTimeout: 100 * time.Hour}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := func(n *node.Node) { n.ProvisionUpdatedAt = time.Now() }
			inBubble(t, in(tt.state, old, orNothing(tt.change)), func(t *testing.T, c *cluster) {
				p, _ := c.configured(t, "c1", tt.config)
				hours(2)
				before := c.read(t)
				c.sweep(t, p)
				if n := c.read(t); n.Revision != before.Revision {
					t.Errorf("%q: %s", n.ProvisionState, n.LastError)
				}
			})
		})
	}
}

// Once a conductor has had a look, how long nodes wait is measured and not read: a
// stamp by a clock that is an hour wrong, either way, neither fails a node early nor
// has it wait for longer. The first look has nothing but the stamps.
func TestTimeoutsDoNotTrustStamps(t *testing.T) {
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			inBubble(t, in(node.StateAvailable), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				c.sweep(t, p)
				time.Sleep(time.Minute)
				at := time.Now().Add(wrong)
				c.put(t, func(n *node.Node) { n.ProvisionState, n.ProvisionUpdatedAt = node.StateWaitCallBack, at })
				c.put(t, func(n *node.Node) { n.ProvisionUpdatedAt = at }) // a change of state is stamped with the right time
				for range 29 {
					c.sweep(t, p)
					if n := c.read(t); n.ProvisionState != node.StateWaitCallBack {
						t.Fatalf("too early: %q", n.ProvisionState)
					}
					time.Sleep(time.Minute)
				}
				time.Sleep(2 * time.Minute)
				c.sweep(t, p)
				if n := c.read(t); n.ProvisionState != node.StateDeployFailed {
					t.Errorf("too late: %q", n.ProvisionState)
				}
			})
		})
	}
	t.Run("first look", func(t *testing.T) {
		inBubble(t, in(node.StateWaitCallBack, func(n *node.Node) { n.ProvisionUpdatedAt = time.Now().Add(-time.Hour) }), func(t *testing.T, c *cluster) {
			p, _ := c.conductor(t, "c1")
			c.sweep(t, p)
			if n := c.read(t); n.ProvisionState != node.StateDeployFailed {
				t.Errorf("%q", n.ProvisionState)
			}
		})
	})
}

// One sweep gets all that are overdue, by two conductors once, but for those that
// are locked; a node without its driver fails all the same; and Run sweeps.
func TestSweep(t *testing.T) {
	inBubble(t, in(node.StateWaitCallBack), func(t *testing.T, c *cluster) {
		first, tasks := c.conductor(t, "c1")
		second, _ := c.conductor(t, "c2")
		ids := []node.ID{c.node}
		for range 20 { // Ironic stops after 8
			ids = append(ids, c.another(t, node.StateWaitCallBack))
		}
		c.put(t, func(n *node.Node) { n.Driver = "gone" })
		locked, free := ids[7], make(chan struct{})
		go func() {
			_ = tasks.Exclusive(context.Background(), task.Request{Node: locked}, func(context.Context, *task.Exclusive) error {
				<-free
				return nil
			})
		}()
		hours(1)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, p := range []*provision.Provisioner{first, second} {
			go func() { ended <- p.Run(ctx) }()
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, id := range ids {
			n := c.readOf(t, id)
			if want := map[bool]node.ProvisionState{true: node.StateWaitCallBack, false: node.StateDeployFailed}[id == locked]; n.ProvisionState != want {
				t.Errorf("%q, want %q", n.ProvisionState, want)
			}
			cleaned := 0
			for _, cmd := range c.bmc.Commands(id) {
				if cmd.Method == "deploy.CleanUp" {
					cleaned++
				}
			}
			if want := map[bool]int{true: 0, false: 1}[id == locked || id == c.node]; cleaned != want {
				t.Errorf("cleaned up %d times, want %d", cleaned, want)
			}
		}
		if n := c.read(t); !strings.Contains(n.LastError, "timeout") || !strings.Contains(n.LastError, "gone") {
			t.Errorf("without a driver: %s", n.LastError)
		}
		close(free)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := c.readOf(t, locked); n.ProvisionState != node.StateDeployFailed {
			t.Errorf("the one that was locked: %q", n.ProvisionState)
		}
		stop()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		c.unlocked(t)
	})
}
