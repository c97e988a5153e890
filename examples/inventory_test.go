package examples_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

// record is what every record of an inventory can do.
type record interface {
	Normalize()
	Validate() error
}

// TestInventories reads the examples as strictly as the API reads a request.
func TestInventories(t *testing.T) {
	macs, names := map[string]string{}, map[string]string{}
	for file, want := range map[string]int{"inventory.yaml": 24, "inventory.json": 2, "fleet.yaml": 60} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var inventory struct{ Nodes []map[string]any }
		if err := yaml.Unmarshal(text, &inventory); err != nil { // JSON is YAML
			t.Fatalf("%s: %v", file, err)
		}
		if len(inventory.Nodes) != want {
			t.Errorf("%s: got %d nodes, want %d", file, len(inventory.Nodes), want)
		}
		for _, fields := range inventory.Nodes {
			ports, groups := children(fields, "ports"), children(fields, "portgroups")
			n := &node.Node{UUID: node.ID(uuid.NewString()), ProvisionState: node.StateEnroll}
			check(t, file, fields, n)
			once(t, names, n.Name, file)
			for _, fields := range groups {
				members := children(fields, "ports")
				if len(members) < 2 {
					t.Errorf("%s: %s: a port group of %d ports", file, n.Name, len(members))
				}
				g := &node.Portgroup{UUID: uuid.NewString(), NodeUUID: n.UUID}
				check(t, file, fields, g)
				once(t, macs, g.Address, n.Name)
				ports = append(ports, members...)
			}
			for _, fields := range ports {
				p := &node.Port{UUID: uuid.NewString(), NodeUUID: n.UUID}
				check(t, file, fields, p)
				once(t, macs, p.Address, n.Name)
			}
		}
	}
}

// children takes the nested records out of a record's fields.
func children(fields map[string]any, key string) []map[string]any {
	var found []map[string]any
	list, _ := fields[key].([]any)
	for _, child := range list {
		found = append(found, child.(map[string]any))
	}
	delete(fields, key)
	return found
}

func check(t *testing.T, file string, fields map[string]any, into record) {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.DecodeInput(bytes.NewReader(text), 0, into); err != nil {
		t.Errorf("%s: %s: %v", file, text, err)
		return
	}
	into.Normalize()
	if err := into.Validate(); err != nil {
		t.Errorf("%s: %s: %v", file, text, err)
	}
}

func once(t *testing.T, seen map[string]string, value, where string) {
	t.Helper()
	if other, ok := seen[value]; ok {
		t.Errorf("%s of %s is that of %s too", value, where, other)
	}
	seen[value] = where
}
