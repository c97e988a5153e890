package provision_test

import (
	"errors"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/node"
)

// A node that is retired while it is being cleaned is not offered.
func TestRetiredMeanwhile(t *testing.T) {
	for _, from := range []struct {
		verb  provision.Verb
		state node.ProvisionState
	}{{provision.Provide, node.StateManageable}, {provision.Undeploy, node.StateActive}} {
		inBubble(t, in(from.state, waiting("vendor.log_passthrough")), func(t *testing.T, c *cluster) {
			p, _ := c.conductor(t, "c1")
			c.do(t, p, c.request(from.verb))
			c.put(t, func(n *node.Node) { n.Retired = true })
			c.next(t, p)
			resting(t, c.read(t), node.StateManageable)
		})
	}
}

// A tear-down takes all of the instance out of the record, also when it fails, and
// also what a rescue left.
func TestTearDownForgetsTheInstance(t *testing.T) {
	instance := func(n *node.Node) {
		n.InstanceUUID, n.InstanceName = "b05de2a6-0c8b-4b9e-9d56-3f7d1a1b8a11", "web"
		n.AllocationUUID, n.Lessee, n.ConsoleEnabled = "b05de2a6-0c8b-4b9e-9d56-3f7d1a1b8a12", "bob", true
		n.InstanceInfo = node.Object{"image_source": "x", "rescue_password": "secret"}
		n.DriverInternalInfo = node.Object{"instance": object{}, "is_whole_disk_image": true, "agent_url": "x", "kept": "k"}
	}
	tests := []struct {
		from  node.ProvisionState
		fails string
		to    node.ProvisionState
		sent  string
	}{
		{node.StateActive, "", node.StateAvailable, "console.Stop, deploy.CleanUp, deploy.TearDown, vendor.log_passthrough"},
		{node.StateRescueFailed, "", node.StateAvailable, "console.Stop, deploy.CleanUp, deploy.TearDown, vendor.log_passthrough"},
		{node.StateActive, "console.Stop", node.StateError, ""},
		{node.StateActive, "deploy.TearDown", node.StateError, "console.Stop, deploy.CleanUp"},
	}
	for _, tt := range tests {
		t.Run(string(tt.from)+" "+tt.fails, func(t *testing.T) {
			change := failing(tt.fails)
			if tt.fails == "" {
				change = func(*node.Node) {}
			}
			inBubble(t, in(tt.from, instance, change), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				n := c.do(t, p, c.request(provision.Undeploy))
				if n.ProvisionState != tt.to {
					t.Errorf("%q: %s", n.ProvisionState, n.LastError)
				}
				if n.InstanceUUID != "" || n.InstanceName != "" || n.AllocationUUID != "" || len(n.InstanceInfo) != 0 || n.Lessee != "bob" {
					t.Errorf("left: %q, %q, %q, %v, lessee %q", n.InstanceUUID, n.InstanceName, n.AllocationUUID, n.InstanceInfo, n.Lessee)
				}
				for _, key := range []string{"instance", "is_whole_disk_image", "agent_url", "undeploying_from"} {
					if n.DriverInternalInfo[key] != nil {
						t.Errorf("left: %s in %v", key, n.DriverInternalInfo)
					}
				}
				if n.DriverInternalInfo["kept"] != "k" {
					t.Errorf("gone: %v", n.DriverInternalInfo)
				}
				if got := c.sent(); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
				if n.ConsoleEnabled != (tt.fails == "console.Stop") {
					t.Errorf("console enabled: %v", n.ConsoleEnabled)
				}
				c.unlocked(t)
			})
		})
	}
}

// A service that failed is aborted only when the operator has had a look.
func TestAbortOfAFailedServiceInMaintenance(t *testing.T) {
	inBubble(t, in(node.StateServiceFailed, func(n *node.Node) { n.Maintenance = true }), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		if err := p.Do(t.Context(), c.request(provision.Abort)); !errors.Is(err, node.ErrInvalidState) {
			t.Errorf("got %v", err)
		}
		c.put(t, func(n *node.Node) { n.Maintenance = false })
		n := c.do(t, p, c.request(provision.Abort))
		n.LastError = ""
		resting(t, n, node.StateActive)
	})
}
