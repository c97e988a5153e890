package node

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func goodNode() *Node {
	return &Node{UUID: ID(uuid.NewString()), Driver: "fake-hardware", ProvisionState: StateEnroll}
}

// fieldsOf answers the names of the fields that a validation refused.
func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	v, ok := errors.AsType[*ValidationError](err)
	if !ok || !errors.Is(err, ErrInvalid) {
		t.Fatalf("got %v, want a validation error", err)
	}
	var names []string
	for _, f := range v.Fields {
		names = append(names, f.Field)
	}
	return names
}

func TestNodeRules(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(*Node)
		field string // "" means that the node stays good
	}{
		{"nothing", func(*Node) {}, ""},
		{"no uuid", func(n *Node) { n.UUID = "" }, "uuid"},
		{"upper case uuid", func(n *Node) { n.UUID = ID(strings.ToUpper("1be26c0b-03f2-4d2e-ae87-c02d7f33c12a")) }, "uuid"},
		{"uuid without hyphens", func(n *Node) { n.UUID = "1be26c0b03f24d2eae87c02d7f33c123" }, "uuid"},
		{"name", func(n *Node) { n.Name = "rack-1.node_2~x" }, ""},
		{"name with a slash", func(n *Node) { n.Name = "a/b" }, "name"},
		{"name with a space", func(n *Node) { n.Name = "a b" }, "name"},
		{"name in unicode", func(n *Node) { n.Name = "nöde" }, "name"},
		{"name like a uuid", func(n *Node) { n.Name = uuid.NewString() }, "name"},
		{"name like a uuid without hyphens", func(n *Node) { n.Name = "1be26c0b03f24d2eae87c02d7f33c123" }, "name"},
		{"reserved name", func(n *Node) { n.Name = "detail" }, "name"},
		{"dots", func(n *Node) { n.Name = ".." }, "name"},
		{"long name", func(n *Node) { n.Name = strings.Repeat("a", 256) }, "name"},
		{"longest name", func(n *Node) { n.Name = strings.Repeat("a", 255) }, ""},
		{"no driver", func(n *Node) { n.Driver = "" }, "driver"},
		{"group", func(n *Node) { n.ConductorGroup = "Rack_1.a-b" }, ""},
		{"bad group", func(n *Node) { n.ConductorGroup = "a b" }, "conductor_group"},
		{"long resource class", func(n *Node) { n.ResourceClass = strings.Repeat("a", 81) }, "resource_class"},
		{"unknown state", func(n *Node) { n.ProvisionState = "deleted" }, "provision_state"},
		{"unstable target", func(n *Node) { n.TargetProvisionState = StateCleaning }, "target_provision_state"},
		{"power error", func(n *Node) { n.PowerState = PowerError }, ""},
		{"bad power state", func(n *Node) { n.PowerState = "on" }, "power_state"},
		{"bad power target", func(n *Node) { n.TargetPowerState = PowerError }, "target_power_state"},
		{"bad boot mode", func(n *Node) { n.BootMode = "efi" }, "boot_mode"},
		{"instance", func(n *Node) { n.InstanceUUID = "vm-1" }, "instance_uuid"},
		{"own parent", func(n *Node) { n.ParentNode = string(n.UUID) }, "parent_node"},
		{"long description", func(n *Node) { n.Description = strings.Repeat("a", 4097) }, "description"},
		{"numbers", func(n *Node) { n.Properties = Object{"memory_mb": 1, "cpus": "8", "local_gb": json.Number("10")} }, ""},
		{"whole float", func(n *Node) { n.Properties = Object{"memory_mb": 4.0, "cpus": int64(3), "local_gb": nil} }, ""},
		{"negative memory", func(n *Node) { n.Properties = Object{"memory_mb": json.Number("-1")} }, "properties/memory_mb"},
		{"fraction", func(n *Node) { n.Properties = Object{"local_gb": 1.5} }, "properties/local_gb"},
		{"words", func(n *Node) { n.Properties = Object{"cpus": "many"} }, "properties/cpus"},
		{"list", func(n *Node) { n.Properties = Object{"cpus": []any{}} }, "properties/cpus"},
		{"traits", func(n *Node) { n.Traits = []string{"CUSTOM_A1", "HW_CPU_X86_VMX"} }, ""},
		{"lower trait", func(n *Node) { n.Traits = []string{"CUSTOM_a"} }, "traits"},
		{"trait twice", func(n *Node) { n.Traits = []string{"CUSTOM_A", "CUSTOM_A"} }, "traits"},
		{"long interface", func(n *Node) { n.PowerInterface = strings.Repeat("a", 256) }, "power_interface"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := goodNode()
			tt.edit(n)
			var want []string
			if tt.field != "" {
				want = []string{tt.field}
			}
			if diff := cmp.Diff(want, fieldsOf(t, n.Validate())); diff != "" {
				t.Error(diff)
			}
		})
	}
	n := goodNode()
	for i := range 51 {
		n.Traits = append(n.Traits, "CUSTOM_"+strings.Repeat("A", i+1))
	}
	if got := fieldsOf(t, n.Validate()); !slices.Equal(got, []string{"traits"}) {
		t.Errorf("51 traits: got %v", got)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	err := (&Node{Name: "a b", Properties: Object{"cpus": -1}}).Validate()
	want := `uuid: is required; name: use only letters, digits and the characters - . _ ~; driver: is required; ` +
		`provision_state: "" is not a provision state; properties/cpus: must be a whole number, 0 or more`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestChildRules(t *testing.T) {
	id, own := ID(uuid.NewString()), uuid.NewString()
	for _, tt := range []struct {
		name string
		r    Record
		want []string
	}{
		{"port", &Port{
			UUID: own, NodeUUID: id, Address: "52-54-00-00-00-01", Name: "detail", PortgroupUUID: "x",
			PhysicalNetwork: strings.Repeat("a", 65),
		}, []string{"address", "name", "portgroup_uuid", "physical_network"}},
		{"empty port", &Port{}, []string{"uuid", "node_uuid", "address"}},
		{"portgroup", &Portgroup{UUID: own, NodeUUID: id, Name: "ports", Address: "x"}, []string{"name", "address"}},
		{"good portgroup", &Portgroup{UUID: own, NodeUUID: id}, nil},
		{"connector", &VolumeConnector{UUID: own, NodeUUID: id, Type: strings.Repeat("a", 33)}, []string{"type", "connector_id"}},
		{"target", &VolumeTarget{UUID: own, NodeUUID: id}, []string{"volume_type", "boot_index", "volume_id"}},
		{"good target", &VolumeTarget{UUID: own, NodeUUID: id, VolumeType: "iscsi", BootIndex: new(int64(-1)), VolumeID: "v"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Normalize()
			if diff := cmp.Diff(tt.want, fieldsOf(t, tt.r.Validate())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	upper := strings.ToUpper(uuid.NewString())
	n := &Node{UUID: ID(upper), InstanceUUID: upper, ConductorGroup: "RackA"}
	n.Normalize()
	if string(n.UUID) != strings.ToLower(upper) || n.InstanceUUID != strings.ToLower(upper) || n.ConductorGroup != "racka" || n.ProvisionState != StateEnroll {
		t.Errorf("got %+v", n)
	}
	p := &Port{Address: " 52:54:00:AB:CD:EF ", PXEEnabled: new(false)}
	p.Normalize()
	if p.Address != "52:54:00:ab:cd:ef" || *p.PXEEnabled || !*p.AvailableForDynamicPortgroup {
		t.Errorf("got %+v", p)
	}
}

// TestNamesAndKeys checks that whatever a value holds, its index key stays
// one level below its directory, and that different values never share a key.
func TestNamesAndKeys(t *testing.T) {
	k := Keys{Root: "/r/"}
	apart := func(t interface{ Fatalf(string, ...any) }, a, b string) {
		x, y := k.index("volume-connector-id", a, b), k.index("volume-connector-id", b, a)
		if strings.Count(x, "/") != 5 || (x == y) != (a == b) {
			t.Fatalf("keys %q and %q", x, y)
		}
	}
	apart(t, "", "/") // were one key when nothing was escaped
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		apart(t, a, b)
		n := goodNode()
		n.Name = a
		if n.Validate() == nil && a != "" {
			if got := k.index("node-name", a); got != "/r/index/node-name/"+a {
				t.Fatalf("a good name is not readable in its key: %q", got)
			}
		}
	})
}

func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, limit := rapid.String().Draw(t, "text"), rapid.IntRange(0, 20).Draw(t, "limit")
		got := cut(s, limit)
		if len(got) > limit || !strings.HasPrefix(s, got) || len(s) > limit && len(got) < limit-3 {
			t.Fatalf("cut(%q, %d) = %q", s, limit, got)
		}
	})
}
