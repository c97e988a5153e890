package api

import (
	"context"
	"maps"

	"github.com/conductor-metal/conductor/pkg/node"
)

var chassisColumns = columns{
	"uuid": given(1), "description": edited(1), "extra": edited(1), "created_at": shown(1), "updated_at": shown(1),
	"links": shown(1), "nodes": shown(1),
}

func (a *api) chassis() *resource[*node.Chassis] {
	s := a.cfg.Store
	return alone(&resource[*node.Chassis]{
		kind: node.KindChassis, path: "chassis", plural: "chassis", since: 1, columns: chassisColumns,
		clone: (*node.Chassis).Clone, brief: []string{"uuid", "description", "links"}, list: s.AllChassis, find: s.Chassis,
		derived: map[string]func(*view, *node.Chassis) any{
			"nodes": func(v *view, r *node.Chassis) any { return v.links("chassis/" + r.UUID + "/nodes") },
		},
	})
}

func (a *api) chassisRoutes() {
	s, nodes := a.chassis(), a.nodesOfChassis()
	a.handle("POST /v1/chassis", 1, s.create)
	a.handle("GET /v1/chassis", 1, s.index(false))
	a.handle("GET /v1/chassis/detail", 1, s.index(true))
	a.handle("GET /v1/chassis/{ref}", 1, byUUID(s.show))
	a.handle("PATCH /v1/chassis/{ref}", 1, byUUID(s.patchAlone(nil)))
	a.handle("DELETE /v1/chassis/{ref}", 1, byUUID(s.removeAlone))
	a.handle("GET /v1/chassis/{ref}/nodes", 1, byUUID(nodes.index(false)))
	a.handle("GET /v1/chassis/{ref}/nodes/detail", 1, byUUID(nodes.index(true)))
}

// byUUID refuses a name where a thing has none. Ironic: args.uuid.
func byUUID(do route) route {
	return func(ctx context.Context, c *call) error {
		if ref := c.r.PathValue("ref"); !node.IsUUID(ref) {
			return invalid("uuid", "Expected a UUID but received %s.", cut(ref, 64))
		}
		return do(ctx, c)
	}
}

// nodesOfChassis lists the nodes of the chassis in the path, which must exist.
func (a *api) nodesOfChassis() *resource[*node.Node] {
	s := a.nodes()
	s.filters = maps.Clone(nodeFilters)
	s.filters[""] = nodeFilter{1, func(ctx context.Context, c *call, _ string) (func(*node.Node) bool, error) {
		found, err := c.cfg.Store.Chassis(ctx, c.r.PathValue("ref"))
		if err != nil {
			return nil, err
		}
		parents, err := noChildren(ctx, c, "")
		return func(n *node.Node) bool {
			return n.ChassisUUID == found.UUID && (parents == nil || parents(n))
		}, err
	}}
	return s
}
