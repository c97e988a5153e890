package provision_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// A driver that fails, at whatever call, brings the node to the failure state of
// what was going on, with a last_error that says what it was.
func TestVerbsFail(t *testing.T) {
	tests := []struct {
		verb   provision.Verb
		from   node.ProvisionState
		fault  string
		to     node.ProvisionState
		target node.ProvisionState
		left   string // the node's fault
	}{
		{provision.Manage, node.StateEnroll, "power.Get", node.StateEnroll, "", ""},
		{provision.Provide, node.StateManageable, "deploy.PrepareCleaning", node.StateCleanFailed, node.StateAvailable, ""},
		{provision.Provide, node.StateManageable, "vendor.log_passthrough", node.StateCleanFailed, node.StateAvailable, "clean failure"},
		{provision.Provide, node.StateManageable, "deploy.TearDownCleaning", node.StateCleanFailed, node.StateAvailable, "clean failure"},
		{provision.Clean, node.StateManageable, "vendor.log_passthrough", node.StateCleanFailed, node.StateManageable, "clean failure"},
		{provision.Inspect, node.StateManageable, "inspect.Inspect", node.StateInspectFailed, node.StateManageable, ""},
		{provision.Adopt, node.StateManageable, "deploy.TakeOver", node.StateAdoptFailed, node.StateActive, ""},
		{provision.Deploy, node.StateAvailable, "deploy.Prepare", node.StateDeployFailed, node.StateActive, ""},
		{provision.Deploy, node.StateAvailable, "deploy.deploy", node.StateDeployFailed, node.StateActive, ""},
		{provision.Rebuild, node.StateActive, "deploy.deploy", node.StateDeployFailed, node.StateActive, ""},
		{provision.Undeploy, node.StateActive, "deploy.CleanUp", node.StateError, "", ""},
		{provision.Undeploy, node.StateActive, "deploy.TearDown", node.StateError, "", ""},
		{provision.Undeploy, node.StateRescue, "rescue.CleanUp", node.StateError, "", ""},
		{provision.Undeploy, node.StateActive, "vendor.log_passthrough", node.StateCleanFailed, node.StateAvailable, "clean failure"},
		{provision.Rescue, node.StateActive, "rescue.Rescue", node.StateRescueFailed, node.StateRescue, ""},
		{provision.Unrescue, node.StateRescue, "rescue.Unrescue", node.StateUnrescueFailed, node.StateActive, ""},
		{provision.Service, node.StateActive, "deploy.PrepareService", node.StateServiceFailed, node.StateActive, ""},
		{provision.Service, node.StateActive, "vendor.log_passthrough", node.StateServiceFailed, node.StateActive, "service failure"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s when %s fails", tt.verb, tt.fault), func(t *testing.T) {
			inBubble(t, in(tt.from, failing(tt.fault)), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				n := c.do(t, p, c.request(tt.verb))
				if n.ProvisionState != tt.to || n.TargetProvisionState != tt.target || n.ActionSlot != "" {
					t.Errorf("%q, target %q, slot %q", n.ProvisionState, n.TargetProvisionState, n.ActionSlot)
				}
				if !strings.Contains(n.LastError, tt.fault+" broke") {
					t.Errorf("last error %q", n.LastError)
				}
				if n.Fault != tt.left || n.Maintenance != (tt.left != "") || n.Maintenance && n.MaintenanceReason == "" {
					t.Errorf("fault %q, maintenance %v: %q", n.Fault, n.Maintenance, n.MaintenanceReason)
				}
				if n.CleanStep != nil || n.DeployStep != nil || n.ServiceStep != nil {
					t.Errorf("steps %v, %v, %v", n.CleanStep, n.DeployStep, n.ServiceStep)
				}
				c.unlocked(t)
			})
		})
	}
}

// What cleans up after a failure may fail too; then last_error tells of both.
func TestCleaningUpFailsToo(t *testing.T) {
	inBubble(t, in(node.StateAvailable, failing("deploy.deploy", "deploy.CleanUp")), func(t *testing.T, c *cluster) {
		p, _ := c.conductor(t, "c1")
		n := c.do(t, p, c.request(provision.Deploy))
		if n.ProvisionState != node.StateDeployFailed || !strings.Contains(n.LastError, "deploy.deploy broke") || !strings.Contains(n.LastError, "deploy.CleanUp broke") {
			t.Errorf("%q: %s", n.ProvisionState, n.LastError)
		}
		c.unlocked(t)
	})
}

// crashing is an inspect interface that misbehaves.
type crashing struct {
	do func(ctx context.Context, n *node.Node) (hardware.Outcome, error)
}

func (crashing) Validate(context.Context, *node.Node) error { return nil }
func (crashing) Abort(context.Context, *node.Node) error    { return nil }
func (i crashing) Inspect(ctx context.Context, n *node.Node) (hardware.Outcome, error) {
	return i.do(ctx, n)
}

// A driver may panic, may leave a record that cannot be stored, and may take
// longer than anybody waits: the node does not stay inspecting.
func TestDriverMisbehaves(t *testing.T) {
	tests := []struct {
		name string
		do   func(ctx context.Context, n *node.Node) (hardware.Outcome, error)
		want string
		pass bool
	}{
		{"panics", func(_ context.Context, n *node.Node) (hardware.Outcome, error) {
			n.Properties = node.Object{"half": "written"}
			panic("ouch")
		}, "ouch", false},
		{"breaks the record", func(_ context.Context, n *node.Node) (hardware.Outcome, error) {
			n.Properties = node.Object{"half": "written"}
			n.BootMode = "sideways"
			return hardware.Done, nil
		}, "boot_mode", false},
		{"writes what is no JSON", func(_ context.Context, n *node.Node) (hardware.Outcome, error) {
			n.Properties = node.Object{"half": func() {}}
			return hardware.Done, nil
		}, "JSON", false},
		{"hangs", func(ctx context.Context, _ *node.Node) (hardware.Outcome, error) {
			<-ctx.Done()
			return hardware.Done, context.Cause(ctx)
		}, "took longer than 1h", false},
		{"waits", func(context.Context, *node.Node) (hardware.Outcome, error) { return hardware.Waiting, nil }, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, in(node.StateManageable, func(n *node.Node) { n.InspectInterface = "crashing" }), func(t *testing.T, c *cluster) {
				c.kit = hardware.Kit{Inspect: map[string]hardware.Inspect{"crashing": crashing{do: tt.do}}}
				p, _ := c.conductor(t, "c1")
				n := c.do(t, p, c.request(provision.Inspect))
				if tt.name == "hangs" {
					hours(2)
					n = c.read(t)
				}
				if want := map[bool]node.ProvisionState{true: node.StateInspectWait, false: node.StateInspectFailed}[tt.pass]; n.ProvisionState != want {
					t.Errorf("%q: %q", n.ProvisionState, n.LastError)
				}
				if !strings.Contains(n.LastError, tt.want) || n.Properties["half"] != nil || n.BootMode != "" {
					t.Errorf("%q: %v, boot mode %q", n.LastError, n.Properties, n.BootMode)
				}
				c.unlocked(t)
			})
		})
	}
}
