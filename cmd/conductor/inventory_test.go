package main

import (
	"strings"
	"testing"
)

func TestInventoryExamples(t *testing.T) {
	for file, want := range map[string]int{"inventory.yaml": 24, "inventory.json": 2} {
		nodes, errs := readInventory("../../examples/" + file)
		if len(errs) > 0 || len(nodes) != want {
			t.Errorf("%s: got %d nodes and %v, want %d", file, len(nodes), errs, want)
		}
		for _, n := range nodes {
			if n.label == "" || n.count() < 2 {
				t.Errorf("%s: %s has a count of %d, want a name and a port", file, n.where, n.count())
			}
			if _, left := n.fields["ports"]; left {
				t.Errorf("%s: the ports are still among the fields", n.where)
			}
		}
	}
}

func TestInventoryErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"not an object", "- a\n", []string{`want an object with the key "nodes"`}},
		{"empty", "", []string{"want an object"}},
		{"no nodes", "nodes: []\n", []string{"nodes: there are none"}},
		{"other key", "chassis: []\nnodes: [{driver: fake-hardware}]\n", []string{":1: chassis: only"}},
		{"no list", "nodes: {}\n", []string{"nodes: want a list"}},
		{"no driver", "nodes:\n  - name: n1\n", []string{":2: nodes[0] (n1): ", "driver"}},
		{"unknown field", "nodes:\n  - driver: fake-hardware\n  - name: n2\n    driver: fake-hardware\n    colour: red\n", []string{":3: nodes[1] (n2): ", "colour"}},
		{"wrong type", "nodes:\n  - {name: n1, driver: fake-hardware, properties: 5}\n", []string{"nodes[0] (n1)", "properties"}},
		{
			"bad port", "nodes:\n  - name: n1\n    driver: fake-hardware\n    ports:\n      - address: nonsense\n",
			[]string{":5: nodes[0] (n1).ports[0] (nonsense): ", "address"},
		},
		{
			"bad port of a group", "nodes:\n  - name: n1\n    driver: fake-hardware\n    portgroups:\n      - name: g\n        ports: [{pxe_enabled: 7}]\n",
			[]string{"nodes[0] (n1).portgroups[0] (g).ports[0]: ", "pxe_enabled"},
		},
		{
			"a name twice", "nodes:\n  - {name: n1, driver: fake-hardware}\n  - {name: n1, driver: fake-hardware}\n",
			[]string{":3: nodes[1] (n1): name n1 is that of nodes[0] (n1) too"},
		},
		{"no YAML", "nodes: [", []string{"yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := writeFile(t, c.text)
			_, errs := readInventory(file)
			if len(errs) != 1 {
				t.Fatalf("got %d errors, want one: %v", len(errs), errs)
			}
			for _, want := range c.want {
				if text := errs[0].Error(); !strings.HasPrefix(text, file) || !strings.Contains(text, want) {
					t.Errorf("got %q, want the file and %q", text, want)
				}
			}
		})
	}
	if code, _, errs := runAs(t, nil, "node", "create", writeFile(t, "nodes: 1\n")); code != exitUsage || !strings.Contains(errs, "nothing was created") {
		t.Errorf("node create: got code %d and %q", code, errs)
	}
}
