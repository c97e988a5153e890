package api

import (
	"context"
	"net/http"
	"runtime"
)

// root is GET /, by which clients find the versions.
func root(_ context.Context, c *call) error {
	v := c.versionDoc()
	return c.json(http.StatusOK, map[string]any{
		"name": "OpenStack Ironic API", "description": "Conductor, a lock and task service for bare metal with Ironic's API.",
		"default_version": v, "versions": []any{v},
	})
}

func (c *call) versionDoc() map[string]any {
	return map[string]any{
		"id": "v1", "status": "CURRENT", "min_version": oldest.String(), "version": newest.String(),
		"links": []link{{Href: c.url(""), Rel: "self"}},
	}
}

// v1 is GET /v1, by which clients find the resources.
func v1(_ context.Context, c *call) error {
	out := map[string]any{
		"id": "v1", "version": c.versionDoc(),
		"links":       []link{{Href: c.url(""), Rel: "self"}},
		"media_types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"}},
	}
	for name, since := range map[string]minor{
		"nodes": 1, "ports": 1, "drivers": 1, "portgroups": 23, "volume": 32, "conductors": 49, "lookup": 22, "heartbeat": 22,
		"chassis": 1, "allocations": 52, "deploy_templates": 55, "shards": 82, "runbooks": 92,
	} {
		if since <= c.v {
			out[name] = c.links(name)
		}
	}
	return c.json(http.StatusOK, out)
}

// volume is GET /v1/volume, and the same below a node.
func volume(ctx context.Context, c *call) error {
	path := "volume"
	if c.r.PathValue("node") != "" {
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		path = "nodes/" + string(n.UUID) + "/volume"
	}
	return c.json(http.StatusOK, map[string]any{
		"links": c.links(path), "connectors": c.links(path + "/connectors"), "targets": c.links(path + "/targets"),
	})
}

// programVersion is GET /version.
func programVersion(_ context.Context, c *call) error {
	return c.json(http.StatusOK, map[string]string{
		"version": c.cfg.Version, "go": runtime.Version(), "host": c.cfg.Host,
		"api_min": oldest.String(), "api_max": newest.String(),
	})
}
