package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// routes adds what all kinds of records that belong to a node can do.
func (s *resource[R]) routes(a *api) {
	a.handle("POST /v1/"+s.path, s.since, s.create)
	a.handle("GET /v1/"+s.path, s.since, s.index(false))
	if s.kind == node.KindPort || s.kind == node.KindPortgroup {
		a.handle("GET /v1/"+s.path+"/detail", s.since, s.index(true))
	}
	// The wildcard of a portgroup is also that of the path to its ports.
	a.handle("GET /v1/"+s.path+"/{ref}", s.since, s.show)
	a.handle("PATCH /v1/"+s.path+"/{ref}", s.since, s.patch)
	a.handle("DELETE /v1/"+s.path+"/{ref}", s.since, s.remove)
}

func (a *api) ports() *resource[*node.Port] {
	s, lists := a.cfg.Store, a.cfg.Lists
	return child(&resource[*node.Port]{
		kind: node.KindPort, path: "ports", plural: "ports", since: 1, names: 88, columns: portColumns, clone: (*node.Port).Clone,
		brief: []string{"uuid", "address", "name", "links"}, list: lists.Ports,
		find: s.Port,
		filters: map[string]filter[*node.Port]{
			"address": {1, func(_ context.Context, _ *call, value string) (func(*node.Port) bool, error) {
				return func(p *node.Port) bool { return p.Address == strings.ToLower(value) }, nil
			}},
			"portgroup": {24, func(ctx context.Context, c *call, value string) (func(*node.Port) bool, error) {
				return ofGroup(ctx, c, value)
			}},
			"": {1, func(ctx context.Context, c *call, _ string) (func(*node.Port) bool, error) {
				if ref := c.r.PathValue("portgroup"); ref != "" {
					return ofGroup(ctx, c, ref)
				}
				return nil, nil
			}},
		},
	}, 6)
}

func ofGroup(ctx context.Context, c *call, ref string) (func(*node.Port) bool, error) {
	g, err := c.cfg.Store.Portgroup(ctx, ref)
	if err != nil {
		return nil, err
	}
	return func(p *node.Port) bool { return p.PortgroupUUID == g.UUID }, nil
}

func (a *api) portgroups() *resource[*node.Portgroup] {
	s, lists := a.cfg.Store, a.cfg.Lists
	return child(&resource[*node.Portgroup]{
		kind: node.KindPortgroup, path: "portgroups", plural: "portgroups", since: 23, names: 23, columns: portgroupColumns,
		clone: (*node.Portgroup).Clone, required: []string{"mode"},
		brief: []string{"uuid", "address", "name", "links"}, list: lists.Portgroups, find: s.Portgroup,
		derived: map[string]func(*view, *node.Portgroup) any{
			"ports": func(v *view, g *node.Portgroup) any { return v.links("portgroups/" + g.UUID + "/ports") },
		},
		filters: map[string]filter[*node.Portgroup]{
			"address": {1, func(_ context.Context, _ *call, value string) (func(*node.Portgroup) bool, error) {
				return func(g *node.Portgroup) bool { return g.Address == strings.ToLower(value) }, nil
			}},
		},
	}, 24)
}

func (a *api) connectors() *resource[*node.VolumeConnector] {
	s, lists := a.cfg.Store, a.cfg.Lists
	return child(&resource[*node.VolumeConnector]{
		kind: node.KindVolumeConnector, path: "volume/connectors", plural: "connectors", since: 32, columns: connectorColumns,
		clone: (*node.VolumeConnector).Clone,
		brief: []string{"uuid", "node_uuid", "type", "connector_id", "links"}, list: lists.VolumeConnectors, find: s.VolumeConnector,
	}, 32)
}

func (a *api) targets() *resource[*node.VolumeTarget] {
	s, lists := a.cfg.Store, a.cfg.Lists
	return child(&resource[*node.VolumeTarget]{
		kind: node.KindVolumeTarget, path: "volume/targets", plural: "targets", since: 32, columns: targetColumns,
		brief: []string{"uuid", "node_uuid", "volume_type", "boot_index", "volume_id", "links"},
		list:  lists.VolumeTargets, find: s.VolumeTarget, clone: (*node.VolumeTarget).Clone, masked: (*node.VolumeTarget).Masked,
	}, 32)
}

// child fills in what all kinds of records that belong to a node have.
func child[R node.Record](s *resource[R], filterByNode minor) *resource[R] {
	s.fields = fieldsOf[R]()
	s.required = append(s.required, "node_uuid")
	if s.derived == nil {
		s.derived = map[string]func(*view, R) any{}
	}
	s.derived["links"] = func(v *view, r R) any { return v.links(s.path + "/" + r.ID()) }
	if s.filters == nil {
		s.filters = map[string]filter[R]{}
	}
	ofNode := func(ctx context.Context, c *call, value string) (func(R) bool, error) {
		n, err := c.findNode(ctx, value)
		if err != nil {
			return nil, err
		}
		return func(r R) bool { return node.Of(r) == n.UUID }, nil
	}
	s.filters["node"] = filter[R]{filterByNode, ofNode}
	s.filters["node_uuid"] = filter[R]{1, ofNode}
	return s
}

// create adds a record. It takes no lock, as in Ironic.
func (s *resource[R]) create(ctx context.Context, c *call) error {
	r := fresh[R]()
	err := s.input(c, r, func(raw map[string]json.RawMessage) error { return c.nodeIdent(ctx, s.kind, raw) })
	if err != nil {
		return err
	}
	if err := c.cfg.Tasks.Create(ctx, r, c.user()); err != nil {
		if missing, ok := errors.AsType[*node.NotFoundError](err); ok { // Ironic: a 404 would be about the path
			return refuse(node.ErrInvalid, "%s", notFoundText(missing))
		}
		return err
	}
	c.w.Header().Set("Location", c.url(s.path+"/"+r.ID()))
	return c.json(http.StatusCreated, s.render(&view{call: c}, r, s.visible(c.v)))
}

func fresh[R node.Record]() R { return reflect.New(reflect.TypeFor[R]().Elem()).Interface().(R) }

// nodeIdent puts the uuid in the place of node_ident, which may be a name.
func (c *call) nodeIdent(ctx context.Context, kind node.Kind, raw map[string]json.RawMessage) error {
	ident, ok := raw["node_ident"]
	if !ok || kind != node.KindPort {
		return nil
	}
	if c.v < 94 {
		return tooNew("The field node_ident", 94, c.v)
	}
	var ref string
	if json.Unmarshal(ident, &ref) != nil {
		return invalid("node_ident", "must be text")
	}
	if raw["node_uuid"] != nil {
		return invalid("node_ident", "cannot be used together with node_uuid")
	}
	n, err := c.findNode(ctx, ref)
	if missing, ok := errors.AsType[*node.NotFoundError](err); ok {
		return refuse(node.ErrInvalid, "%s", notFoundText(missing))
	}
	if err != nil {
		return err
	}
	delete(raw, "node_ident")
	raw["node_uuid"], err = json.Marshal(n.UUID)
	return err
}

// remove deletes a record under the lock of its node.
func (s *resource[R]) remove(ctx context.Context, c *call) error {
	ref := c.r.PathValue("ref")
	if !node.IsUUID(ref) && s.kind != node.KindPortgroup {
		return invalid("uuid", "Expected a UUID but received %s.", cut(ref, 64))
	}
	found, err := s.one(ctx, c)
	if err != nil {
		return err
	}
	err = c.exclusive(ctx, node.Of(found), purposeUpdate, func(ctx context.Context, x *task.Exclusive) error {
		r, err := underLock(x.Records(), found)
		if err != nil {
			return err
		}
		if err := mayRemove(x.Node(), r); err != nil {
			return err
		}
		return x.Delete(ctx, r)
	})
	if err != nil {
		return err
	}
	return c.empty()
}

// underLock is the record as it was read with the lock.
func underLock(rs *node.Records, found node.Record) (node.Record, error) {
	var all []node.Record
	for _, p := range rs.Ports {
		all = append(all, p)
	}
	for _, g := range rs.Portgroups {
		all = append(all, g)
	}
	for _, v := range rs.VolumeConnectors {
		all = append(all, v)
	}
	for _, t := range rs.VolumeTargets {
		all = append(all, t)
	}
	for _, r := range all {
		if r.Kind() == found.Kind() && r.ID() == found.ID() {
			return r, nil
		}
	}
	return nil, &node.NotFoundError{Kind: found.Kind(), Ref: found.ID()}
}

// mayRemove holds the rules for the deletion of what belongs to a node.
// Ironic: destroy_port, destroy_volume_connector, destroy_volume_target.
func mayRemove(n *node.Node, r node.Record) error {
	switch r := r.(type) {
	case *node.Port:
		if vif := r.InternalInfo.Text("tenant_vif_port_id"); vif != "" && !n.Maintenance {
			return refuse(errAssociated, "Cannot delete the port %s as VIF %s is still attached to it.", r.UUID, vif)
		}
	case *node.VolumeConnector, *node.VolumeTarget:
		free := []node.ProvisionState{node.StateManageable, node.StateEnroll, node.StateAdoptFailed}
		for _, s := range free {
			if n.ProvisionState == s {
				return nil
			}
		}
		if n.PowerState != node.PowerOff {
			return refuse(node.ErrInvalid, "The requested action %q can not be performed on node %q while it is in state %q.",
				r.Kind()+" deletion", n.UUID, n.PowerState)
		}
	}
	return nil
}
