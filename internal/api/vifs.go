package api

import (
	"context"
	"net/http"
	"regexp"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/task"
)

// vifRoutes are about the virtual interfaces of the network service that are
// attached to a node's ports.
func (a *api) vifRoutes() {
	a.handle("GET /v1/nodes/{node}/vifs", 28, vifs)
	a.handle("POST /v1/nodes/{node}/vifs", 28, attachVIF)
	a.handle("DELETE /v1/nodes/{node}/vifs/{vif}", 28, detachVIF)
}

func vifs(ctx context.Context, c *call) error {
	out := []map[string]string{}
	err := c.look(ctx, "list vifs", func(ctx context.Context, s *task.Snapshot) error {
		if err := s.Driver().Network.Validate(ctx); err != nil {
			return provision.FromMachine(err)
		}
		for _, id := range provision.VIFs(s.Records()) {
			out = append(out, map[string]string{"id": id})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"vifs": out})
}

// attachVIF is POST /v1/nodes/{node}/vifs. Beside the id, clients may say what
// they like; the port or portgroup to take counts since 1.67.
func attachVIF(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	in, err := c.object()
	if err != nil {
		return err
	}
	id, _ := in["id"].(string)
	if err := vifID(id); err != nil {
		return err
	}
	v := provision.VIF{ID: id}
	if c.v >= 67 {
		v.Port, v.Portgroup = in.Text("port_uuid"), in.Text("portgroup_uuid")
		if v.Port != "" && v.Portgroup != "" {
			return invalid("", "Cannot specify both port_uuid and portgroup_uuid")
		}
	}
	if err := c.cfg.Provision.AttachVIF(ctx, n.UUID, v, c.wait, c.user()); err != nil {
		return err
	}
	return c.empty()
}

// logicalName is what a name may be made of; uuids are too.
var logicalName = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,255}$`)

// vifID checks that an id is a uuid or a name.
func vifID(id string) error {
	if !logicalName.MatchString(id) {
		return invalid("id", "Expected a logical name or UUID but received %q.", cut(id, 64))
	}
	return nil
}

// detachVIF is DELETE /v1/nodes/{node}/vifs/{vif}.
func detachVIF(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	id := c.r.PathValue("vif")
	if err := vifID(id); err != nil {
		return err
	}
	if err := c.cfg.Provision.DetachVIF(ctx, n.UUID, id, c.wait, c.user()); err != nil {
		return err
	}
	return c.empty()
}
