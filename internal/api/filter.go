package api

import (
	"context"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

type nodeFilter = filter[*node.Node]

// nodeFilters are the parameters of lists of nodes; the nameless one always applies.
var nodeFilters = map[string]nodeFilter{
	"instance_uuid":   text(1, func(n *node.Node) string { return n.InstanceUUID }),
	"chassis_uuid":    text(1, func(n *node.Node) string { return n.ChassisUUID }),
	"driver":          text(16, func(n *node.Node) string { return n.Driver }),
	"resource_class":  text(21, func(n *node.Node) string { return n.ResourceClass }),
	"fault":           text(42, func(n *node.Node) string { return n.Fault }),
	"conductor_group": text(46, func(n *node.Node) string { return n.ConductorGroup }),
	"owner":           text(50, func(n *node.Node) string { return n.Owner }),
	"lessee":          text(65, func(n *node.Node) string { return n.Lessee }),
	"instance_name":   text(beyond, func(n *node.Node) string { return n.InstanceName }),

	"associated":  truth(1, "associated", func(n *node.Node) bool { return n.InstanceUUID != "" }),
	"maintenance": truth(1, "maintenance", func(n *node.Node) bool { return n.Maintenance }),
	"retired":     truth(61, "retired", func(n *node.Node) bool { return n.Retired }),
	"sharded":     truth(82, "sharded", func(n *node.Node) bool { return n.Shard != "" }),

	"provision_state": {9, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		state := node.ProvisionState(value)
		if !state.Valid() {
			return nil, invalid("provision_state", "The provision state %q is not a valid state.", cut(value, 64))
		}
		return func(n *node.Node) bool { return n.ProvisionState == state }, nil
	}},
	"conductor": {49, func(_ context.Context, c *call, value string) (func(*node.Node) bool, error) {
		return func(n *node.Node) bool { return c.conductorOf(n) == value }, nil
	}},
	"description_contains": {51, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		return func(n *node.Node) bool { return strings.Contains(n.Description, value) }, nil
	}},
	"project": {65, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		return func(n *node.Node) bool { return n.Owner == value || n.Lessee == value }, nil
	}},
	"shard": {82, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		shards := strings.Split(value, ",")
		return func(n *node.Node) bool { return slices.Contains(shards, n.Shard) }, nil
	}},
	"parent_node": {83, func(ctx context.Context, c *call, value string) (func(*node.Node) bool, error) {
		parent, err := c.findNode(ctx, value)
		if err != nil {
			return nil, err
		}
		return func(n *node.Node) bool { return n.ParentNode == string(parent.UUID) }, nil
	}},
	"include_children": {83, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		_, err := parseBool("include_children", value)
		return func(*node.Node) bool { return true }, err
	}},
	"": {1, noChildren},
}

// noChildren leaves child nodes out of lists that do not ask for them.
func noChildren(_ context.Context, c *call, _ string) (func(*node.Node) bool, error) {
	q := c.r.URL.Query()
	if with, _ := parseBool("include_children", q.Get("include_children")); with || q.Get("parent_node") != "" {
		return nil, nil
	}
	return func(n *node.Node) bool { return n.ParentNode == "" }, nil
}

// text is a filter for a value; case does not matter in uuids and groups, which
// are stored in lower case.
func text(since minor, of func(*node.Node) string) nodeFilter {
	return nodeFilter{since, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		if node.IsUUID(value) {
			value = strings.ToLower(value)
		}
		return func(n *node.Node) bool { return of(n) == value }, nil
	}}
}

func truth(since minor, name string, of func(*node.Node) bool) nodeFilter {
	return nodeFilter{since, func(_ context.Context, _ *call, value string) (func(*node.Node) bool, error) {
		want, err := parseBool(name, value)
		return func(n *node.Node) bool { return of(n) == want }, err
	}}
}
