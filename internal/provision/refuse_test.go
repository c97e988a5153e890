package provision_test

import (
	"errors"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestVerbsRefuse(t *testing.T) {
	broken := driverInfo(hardware.FaultKey, "nonsense") // does not validate
	inMaintenance := func(n *node.Node) { n.Maintenance, n.MaintenanceReason = true, "burnt" }
	tests := []struct {
		name    string
		from    node.ProvisionState
		change  func(*node.Node)
		verb    provision.Verb
		request func(*provision.Request)
		want    error
		not     error // must not be seen in it
	}{
		{"deploy in maintenance", node.StateAvailable, inMaintenance, provision.Deploy, nil, provision.ErrMaintenance, nil},
		{"in maintenance comes before the state", node.StateManageable, inMaintenance, provision.Deploy, nil, provision.ErrMaintenance, nil},
		{"rebuild in maintenance", node.StateActive, inMaintenance, provision.Rebuild, nil, provision.ErrMaintenance, nil},
		{"clean in maintenance", node.StateManageable, inMaintenance, provision.Clean, nil, provision.ErrMaintenance, nil},
		{"the state comes before maintenance", node.StateActive, inMaintenance, provision.Clean, nil, provision.ErrStateRequested, nil},
		{"rescue in maintenance", node.StateActive, inMaintenance, provision.Rescue, nil, provision.ErrMaintenance, nil},
		{"unrescue in maintenance", node.StateRescue, inMaintenance, provision.Unrescue, nil, provision.ErrMaintenance, nil},
		{"service in maintenance", node.StateActive, inMaintenance, provision.Service, nil, provision.ErrMaintenance, nil},
		{"rebuild of a protected node", node.StateActive, func(n *node.Node) { n.Protected = true }, provision.Rebuild, nil, provision.ErrProtected, nil},
		{"undeploy of a protected node", node.StateActive, func(n *node.Node) { n.Protected = true }, provision.Undeploy, nil, provision.ErrProtected, nil},
		{"provide of a retired node", node.StateManageable, func(n *node.Node) { n.Retired = true }, provision.Provide, nil, provision.ErrRetired, nil},
		{"deploy without what the driver needs", node.StateAvailable, broken, provision.Deploy, nil, provision.ErrDeployFailure, nil},
		{"it has the cause's status", node.StateAvailable, broken, provision.Deploy, nil, hardware.ErrInvalidParameter, nil},
		{"undeploy without it", node.StateActive, broken, provision.Undeploy, nil, provision.ErrDeployFailure, hardware.ErrInvalidParameter},
		{"rescue without it", node.StateActive, broken, provision.Rescue, nil, provision.ErrRescueFailure, hardware.ErrInvalidParameter},
		{"rescue without a rescue interface", node.StateActive, func(n *node.Node) { n.RescueInterface = "no-rescue" }, provision.Rescue, nil, provision.ErrRescueFailure, nil},
		{"unrescue without it", node.StateRescue, broken, provision.Unrescue, nil, provision.ErrUnrescueFailure, hardware.ErrInvalidParameter},
		{"clean without it", node.StateManageable, broken, provision.Clean, nil, hardware.ErrInvalidParameter, nil},
		{"inspect without it", node.StateManageable, broken, provision.Inspect, nil, hardware.ErrInvalidParameter, nil},
		{"inspect without an inspect interface", node.StateManageable, func(n *node.Node) { n.InspectInterface = "no-inspect" }, provision.Inspect, nil, hardware.ErrUnsupported, nil},
		{"an unknown driver", node.StateManageable, func(n *node.Node) { n.Driver = "gone" }, provision.Inspect, nil, hardware.ErrDriverNotFound, nil},
		{"clean without steps", node.StateManageable, nil, provision.Clean, func(r *provision.Request) { r.Steps = nil }, hardware.ErrMissingParameter, nil},
		{"service without steps", node.StateActive, nil, provision.Service, func(r *provision.Request) { r.Steps = nil }, hardware.ErrMissingParameter, nil},
		{"rescue without a password", node.StateActive, nil, provision.Rescue, func(r *provision.Request) { r.RescuePassword = "" }, hardware.ErrMissingParameter, nil},
		{"steps for provide", node.StateManageable, nil, provision.Provide, steps(step("vendor", "log_passthrough")), hardware.ErrInvalidParameter, nil},
		{"a configdrive for clean", node.StateManageable, nil, provision.Clean, func(r *provision.Request) { r.ConfigDrive = "x" }, hardware.ErrInvalidParameter, nil},
		{"a configdrive that is a number", node.StateAvailable, nil, provision.Deploy, func(r *provision.Request) { r.ConfigDrive = 7 }, hardware.ErrInvalidParameter, nil},
		{"no ramdisk for deploy", node.StateAvailable, nil, provision.Deploy, func(r *provision.Request) { r.DisableRamdisk = true }, hardware.ErrInvalidParameter, nil},
		{"an unknown clean step", node.StateManageable, nil, provision.Clean, steps(step("deploy", "erase")), provision.ErrStepNotAllowed, nil},
		{"a clean step of another interface", node.StateManageable, nil, provision.Clean, steps(step("raid", "log_passthrough")), provision.ErrStepNotAllowed, nil},
		{"an unknown service step", node.StateActive, nil, provision.Service, steps(step("deploy", "erase")), provision.ErrStepNotAllowed, nil},
		{"an unknown deploy step", node.StateAvailable, nil, provision.Deploy, steps(step("deploy", "erase")), provision.ErrStepNotAllowed, nil},
		{"a step without its argument", node.StateManageable, nil, provision.Clean, steps(step("bios", "apply_configuration")), hardware.ErrMissingParameter, nil},
		{"a step with an argument too many", node.StateManageable, nil, provision.Clean, steps(step("vendor", "log_passthrough", "speed", 1)), hardware.ErrInvalidParameter, nil},
		{"a wait that is no number", node.StateManageable, nil, provision.Clean, steps(step("power", "wait", "seconds", "soon")), hardware.ErrInvalidParameter, nil},
		{"a wait of hours and more", node.StateManageable, nil, provision.Clean, steps(step("power", "wait", "seconds", "1h5")), hardware.ErrInvalidParameter, nil},
		{"a wait of no number", node.StateManageable, nil, provision.Clean, steps(step("power", "wait", "seconds", "NaN")), hardware.ErrInvalidParameter, nil},
		{"a wait of less than nothing", node.StateManageable, nil, provision.Clean, steps(step("power", "wait", "seconds", -1)), hardware.ErrInvalidParameter, nil},
		{"a hold with an argument", node.StateManageable, nil, provision.Clean, steps(step("power", "hold", "seconds", 1)), hardware.ErrInvalidParameter, nil},
		{"a deploy step twice", node.StateAvailable, nil, provision.Deploy, steps(step("deploy", "deploy"), step("deploy", "deploy")), hardware.ErrInvalidParameter, nil},
		{"traits that the node has not", node.StateAvailable, func(n *node.Node) { n.InstanceInfo = node.Object{"traits": []any{"CUSTOM_A"}} }, provision.Deploy, nil, hardware.ErrInvalidParameter, nil},
		{"traits that are no list", node.StateAvailable, func(n *node.Node) { n.InstanceInfo = node.Object{"traits": "CUSTOM_A"} }, provision.Deploy, nil, hardware.ErrInvalidParameter, nil},
		{"no such node", node.StateManageable, nil, provision.Inspect, func(r *provision.Request) { r.Node = "b05de2a6-0c8b-4b9e-9d56-3f7d1a1b8a11" }, node.ErrNotFound, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, in(tt.from, orNothing(tt.change)), func(t *testing.T, c *cluster) {
				p, _ := c.conductor(t, "c1")
				before := c.read(t)
				r := c.request(tt.verb)
				if tt.request != nil {
					tt.request(&r)
				}
				err := p.Do(t.Context(), r)
				if !errors.Is(err, tt.want) || tt.not != nil && errors.Is(err, tt.not) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				settle()
				if n := c.read(t); n.Revision != before.Revision || c.sent() != "" {
					t.Errorf("the node was written (%d, %d) or the machine commanded (%s)", before.Revision, n.Revision, c.sent())
				}
				c.unlocked(t)
			})
		})
	}
}

func orNothing(change func(*node.Node)) func(*node.Node) {
	if change == nil {
		return func(*node.Node) {}
	}
	return change
}

// step is a step with arguments, in pairs.
func step(iface, name string, args ...any) hardware.Step {
	s := hardware.Step{Interface: iface, Name: name, Priority: 50}
	for i := 0; i < len(args); i += 2 {
		if s.Args == nil {
			s.Args = map[string]any{}
		}
		s.Args[args[i].(string)] = args[i+1]
	}
	return s
}

func steps(all ...hardware.Step) func(*provision.Request) {
	return func(r *provision.Request) { r.Steps = all }
}

// Maintenance, and whether automated cleaning is wanted, are for the operator to decide.
func TestProvideAndItsOptions(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		name   string
		config provision.Config
		change func(*node.Node)
		want   error
		sent   string
		to     node.ProvisionState
	}{
		{"in maintenance", provision.Config{}, func(n *node.Node) { n.Maintenance = true }, nil, "vendor.log_passthrough", node.StateAvailable},
		{"in maintenance, refused", provision.Config{RefuseInMaintenance: true}, func(n *node.Node) { n.Maintenance = true }, provision.ErrMaintenance, "", node.StateManageable},
		{"no cleaning by config", provision.Config{NoAutomatedClean: true}, nil, nil, "", node.StateAvailable},
		{"no cleaning by config, but by the node", provision.Config{NoAutomatedClean: true}, func(n *node.Node) { n.AutomatedClean = &yes }, nil, "vendor.log_passthrough", node.StateAvailable},
		{"no cleaning by the node", provision.Config{}, func(n *node.Node) { n.AutomatedClean = &no }, nil, "", node.StateAvailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, in(node.StateManageable, orNothing(tt.change)), func(t *testing.T, c *cluster) {
				p, _ := c.configured(t, "c1", tt.config)
				if err := p.Do(t.Context(), c.request(provision.Provide)); !errors.Is(err, tt.want) {
					t.Fatal(err)
				}
				settle()
				if n := c.read(t); n.ProvisionState != tt.to || c.sent() != tt.sent {
					t.Errorf("%q, sent %q", n.ProvisionState, c.sent())
				}
				c.unlocked(t)
			})
		})
	}
}
