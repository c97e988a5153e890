package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

// nodeFilters are what a list of nodes can be narrowed to.
var nodeFilters = []field{
	{name: "provision_state", flag: "state", help: "only nodes in this provision state"},
	{name: "driver", help: "only nodes with this driver"},
	{name: "resource_class", help: "only nodes with this resource class"},
	{name: "conductor_group", flag: "group", help: "only nodes of this conductor group"},
	{name: "fault", help: "only nodes with this fault"},
	{name: "owner", help: "only nodes of this owner"},
	{name: "lessee", help: "only nodes of this lessee"},
	{name: "shard", help: "only nodes of these shards, with commas between them"},
	{name: "parent_node", flag: "parent", help: "only the children of this node"},
	{name: "instance_uuid", help: "only the node with this workload"},
	{name: "description_contains", flag: "description", help: "only nodes with this in their description"},
	{name: "maintenance", kind: switchField, help: "only nodes in maintenance; =false: only others"},
	{name: "retired", kind: switchField, help: "only nodes that are retired; =false: only others"},
	{name: "associated", kind: switchField, help: "only nodes with a workload; =false: only others"},
	{name: "include_children", flag: "children", kind: switchField, help: "nodes with a parent as well"},
}

func (n *nodeVerbs) listCommand() *cobra.Command {
	l := &listing{path: "/v1/nodes", plural: "nodes", columns: []column{
		plainColumn("uuid"), plainColumn("name"), plainColumn("driver"),
		{"POWER", func(r map[string]json.RawMessage) string {
			return towards(bare(r["power_state"]), bare(r["target_power_state"]))
		}},
		{"PROVISION", func(r map[string]json.RawMessage) string { return bare(r["provision_state"]) }},
		plainColumn("maintenance"),
		{"LOCKED BY", func(r map[string]json.RawMessage) string { return bare(r["reservation"]) }},
	}}
	c := &cobra.Command{
		Use: "list", Short: "List nodes", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return l.list(c.Context(), n.program, &n.client, &n.output) },
	}
	l.filter(c.Flags(), nodeFilters)
	return c
}

// towards is a state with the one that is aimed at.
func towards(state, target string) string {
	if target == "" {
		return state
	}
	if state == "" {
		state = "unknown"
	}
	return state + " -> " + target
}
