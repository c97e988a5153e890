package hardware

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
)

func compose(t *testing.T, c Config, n *node.Node) *Composition {
	t.Helper()
	r, err := NewRegistry(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// rack is a hardware type that knows fewer implementations than are enabled.
func rack() Type {
	t := Type{Name: "rack", Supported: Generic()}
	for _, iface := range []string{InterfaceBoot, InterfacePower, InterfaceManagement, InterfaceDeploy} {
		t.Supported[iface] = []string{fakeName}
	}
	t.Supported[InterfaceManagement] = []string{noop, fakeName}
	t.Supported[InterfaceRAID] = []string{"agent", "no-raid"}
	return t
}

// The rules of Ironic: build_driver_for_task, check_and_update_node_interfaces
// and default_interface.
func TestCompose(t *testing.T) {
	const iface = InterfaceManagement
	rackOnly := Config{Types: []Type{rack()}}
	with := func(change func(*Config)) Config {
		c := Config{Types: []Type{rack()}}
		change(&c)
		return c
	}
	tests := []struct {
		name   string
		config Config
		node   node.Node
		// want of the interface, and whether it is a default.
		want    string
		def     bool
		wantErr error
		valid   []string
	}{
		{name: "first supported", node: node.Node{Driver: "fake-hardware"}, want: "fake", def: true},
		{name: "first of this type", config: rackOnly, node: node.Node{Driver: "rack"}, want: "noop", def: true},
		{
			name:   "first that is enabled",
			config: with(func(c *Config) { c.Interfaces = map[string][]string{iface: {"fake"}} }),
			node:   node.Node{Driver: "rack"}, want: "fake", def: true,
		},
		{
			name:   "configured default goes first",
			config: with(func(c *Config) { c.Defaults = map[string]string{iface: "fake"} }),
			node:   node.Node{Driver: "rack"}, want: "fake", def: true,
		},
		{
			name:   "the node goes before the default",
			config: with(func(c *Config) { c.Defaults = map[string]string{iface: "fake"} }),
			node:   node.Node{Driver: "rack", ManagementInterface: "noop"}, want: "noop",
		},
		{
			name: "instance_info goes before the node",
			node: node.Node{
				Driver: "fake-hardware", ManagementInterface: "fake",
				InstanceInfo: node.Object{"management_interface": "noop"},
			}, want: "noop",
		},
		{
			name: "instance_info without the node's field",
			node: node.Node{Driver: "fake-hardware", InstanceInfo: node.Object{"management_interface": "noop"}},
			want: "noop",
		},
		{
			name: "null in instance_info says nothing",
			node: node.Node{Driver: "fake-hardware", InstanceInfo: node.Object{"management_interface": nil}},
			want: "fake", def: true,
		},
		{
			name: "no name in instance_info",
			node: node.Node{Driver: "fake-hardware", InstanceInfo: node.Object{"management_interface": 7}},

			wantErr: ErrInvalidParameter,
		},
		{
			name: "no such driver", node: node.Node{Driver: "ipmi"}, config: rackOnly,
			wantErr: ErrDriverNotFound, valid: []string{"fake-hardware", "rack"},
		},
		{name: "no driver", node: node.Node{}, wantErr: ErrDriverNotFound, valid: []string{"fake-hardware"}},
		{
			name:   "known but not enabled driver",
			config: with(func(c *Config) { c.HardwareTypes = []string{"rack"} }),
			node:   node.Node{Driver: "fake-hardware"}, wantErr: ErrDriverNotFound, valid: []string{"rack"},
		},
		{
			name: "no such interface", config: rackOnly,
			node:    node.Node{Driver: "rack", ManagementInterface: "redfish"},
			wantErr: ErrInterfaceNotFound, valid: []string{"noop", "fake"},
		},
		{
			name:   "known but not enabled interface",
			config: with(func(c *Config) { c.Interfaces = map[string][]string{iface: {"fake"}} }),
			node:   node.Node{Driver: "fake-hardware", ManagementInterface: "noop"},

			wantErr: ErrInterfaceNotFound, valid: []string{"fake"},
		},
		{
			name: "no such interface in instance_info",
			node: node.Node{
				Driver: "fake-hardware", ManagementInterface: "noop",
				InstanceInfo: node.Object{"management_interface": "redfish"},
			},
			wantErr: ErrInterfaceNotFound, valid: []string{"fake", "noop"},
		},
		{
			name: "the node's field is checked although instance_info wins",
			node: node.Node{
				Driver: "fake-hardware", ManagementInterface: "redfish",
				InstanceInfo: node.Object{"management_interface": "noop"},
			},
			wantErr: ErrInterfaceNotFound, valid: []string{"fake", "noop"},
		},
		{
			name:    "incompatible",
			config:  with(func(c *Config) { c.Types[0].Supported[iface] = []string{"noop"} }),
			node:    node.Node{Driver: "rack", ManagementInterface: "fake"},
			wantErr: ErrIncompatibleInterface, valid: []string{"noop"},
		},
		{
			name: "fake-hardware takes what is enabled, supported or not",
			node: node.Node{Driver: "fake-hardware", ManagementInterface: "noop"}, want: "noop",
		},
		{
			name: "configured default incompatible",
			config: with(func(c *Config) {
				c.Types[0].Supported[iface] = []string{"noop"}
				c.Defaults = map[string]string{iface: "fake"}
			}),
			node: node.Node{Driver: "rack"}, wantErr: ErrNoValidDefault, valid: []string{"noop"},
		},
		{
			name: "configured default incompatible, but the node names one",
			config: with(func(c *Config) {
				c.Types[0].Supported[iface] = []string{"noop"}
				c.Defaults = map[string]string{iface: "fake"}
			}),
			node: node.Node{Driver: "rack", ManagementInterface: "noop"}, want: "noop",
		},
		{
			name: "configured default not enabled",
			config: with(func(c *Config) {
				c.Interfaces = map[string][]string{iface: {"noop"}}
				c.Defaults = map[string]string{iface: "fake"}
			}),
			node: node.Node{Driver: "rack"}, wantErr: ErrInterfaceNotFound, valid: []string{"noop"},
		},
		{
			name:   "nothing to choose from",
			config: with(func(c *Config) { c.Types[0].Supported[iface] = []string{"redfish"} }),
			node:   node.Node{Driver: "rack"}, wantErr: ErrNoValidDefault,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewRegistry(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			before := *tt.node.Clone()
			c, err := r.Compose(&tt.node)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("got error %v, want %v", err, tt.wantErr)
			}
			if got := validOf(err); !slices.Equal(got, tt.valid) {
				t.Errorf("%v: valid %v, want %v", err, got, tt.valid)
			}
			if got, was := tt.node.Interfaces()["management_interface"], before.ManagementInterface; *got != was {
				t.Errorf("the node's field is %q, want %q as before", *got, was)
			}
			if err != nil {
				return
			}
			if got := c.Names()[iface]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if _, def := c.Defaults()[iface]; def != tt.def {
				t.Errorf("reported as default: %v, want %v", def, tt.def)
			}
		})
	}
}

// validOf returns the names an error would have accepted.
func validOf(err error) []string {
	if e, ok := errors.AsType[*DriverNotFoundError](err); ok {
		return e.Valid
	}
	if e, ok := errors.AsType[*InterfaceNotFoundError](err); ok {
		return e.Valid
	}
	if e, ok := errors.AsType[*IncompatibleInterfaceError](err); ok {
		return e.Valid
	}
	if e, ok := errors.AsType[*NoValidDefaultError](err); ok {
		return e.Valid
	}
	return nil
}

func TestZeroConfigComposesAllFakes(t *testing.T) {
	c := compose(t, Config{}, &node.Node{UUID: "n1", Driver: FakeHardware})
	want := map[string]string{}
	for _, iface := range Interfaces() {
		want[iface] = "fake"
	}
	want[InterfaceNetwork] = "noop" // there is no fake
	want[InterfaceStorage] = "noop" // the configured default
	if got := c.Names(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := c.Defaults(); !maps.Equal(got, want) {
		t.Errorf("defaults: got %v, want %v", got, want)
	}
	for _, iface := range Interfaces() {
		if c.parts.impl(iface) == nil {
			t.Errorf("%s has no implementation", iface)
		}
	}
	if got := c.HardwareType(); got != FakeHardware {
		t.Errorf("hardware type %q", got)
	}
}

func TestZeroRegistryHasNothing(t *testing.T) {
	_, err := new(Registry).Compose(&node.Node{Driver: FakeHardware})
	e, ok := errors.AsType[*DriverNotFoundError](err)
	if !ok || len(e.Valid) != 0 {
		t.Errorf("got %v, want a DriverNotFoundError without valid names", err)
	}
}

func TestEveryErrorTextNamesTheWayOut(t *testing.T) {
	for want, err := range map[string]error{
		`hardware type not found: "x", enabled: a, b`:                                                         &DriverNotFoundError{"x", []string{"a", "b"}},
		`hardware type not found: "x", enabled: none`:                                                         &DriverNotFoundError{"x", nil},
		`power interface not found: "x", valid: fake`:                                                         &InterfaceNotFoundError{"power", "x", []string{"fake"}},
		`power interface incompatible with hardware type: "x" with rack, valid: fake`:                         &IncompatibleInterfaceError{"rack", "power", "x", []string{"fake"}},
		`no valid default interface for power: rack cannot use the configured "x", valid: fake`:               &NoValidDefaultError{"rack", "power", "x", []string{"fake"}, []string{"fake"}},
		`no valid default interface for power: rack could use ipmitool, redfish, but none of them is enabled`: &NoValidDefaultError{"rack", "power", "", []string{"ipmitool", "redfish"}, nil},
		`driver rack does not support inspect (disabled or not implemented)`:                                  &UnsupportedError{"rack", "inspect"},
		`power.Set: no answer`: &FaultError{"power.Set", "no answer"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
