package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// mediaRoutes are about images in a machine's virtual devices. Changes are made
// in the background; a failure is in last_error.
func (a *api) mediaRoutes() {
	a.asks("GET /v1/nodes/{node}/vmedia", 93, virtualMedia)
	a.handle("POST /v1/nodes/{node}/vmedia", 89, attachMedia)
	a.handle("DELETE /v1/nodes/{node}/vmedia", 89, detachMedia)
}

func virtualMedia(ctx context.Context, c *call) error {
	out := []map[string]any{}
	err := c.manage(ctx, "get virtual media", func(ctx context.Context, m hardware.BoundManagementReader, _ *node.Node) error {
		all, err := m.VirtualMedia(ctx)
		for _, v := range all {
			image := node.Object{"image": shape("", v.Image)}.Masked()["image"] // a url may hold a password
			out = append(out, map[string]any{"media_types": shape("", v.Types), "inserted": v.Inserted, "image": image})
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

// mediaSchemes are how a machine can be told to fetch an image. Ironic:
// VMEDIA_SUPPORTED_URL_SCHEMES.
var mediaSchemes = []string{"http", "https", "nfs", "cifs", "smb"}

// attachMedia is POST /v1/nodes/{node}/vmedia. The machine fetches the image
// itself, whatever image_download_source says: no conductor serves files.
func attachMedia(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Device string `json:"device_type"`
		URL    string `json:"image_url"`
		Source string `json:"image_download_source"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := mediaDevices("device_type", in.Device); err != nil {
		return err
	}
	if in.URL == "" {
		return invalid("image_url", "is required")
	}
	if u, err := url.Parse(in.URL); err != nil || !slices.Contains(mediaSchemes, u.Scheme) {
		return invalid("image_url", "Unsupported or missing URL scheme; use one of %s", strings.Join(mediaSchemes, ", "))
	}
	if sources := []string{"http", "local", "swift"}; in.Source != "" && !slices.Contains(sources, in.Source) {
		return invalid("image_download_source", "must be one of %s", strings.Join(sources, ", "))
	}
	if err := c.cfg.Provision.AttachMedia(ctx, n.UUID, in.Device, in.URL, c.wait, c.user()); err != nil {
		return err
	}
	return c.empty()
}

func mediaDevices(field string, devices ...string) error {
	for _, d := range devices {
		if valid := hardware.MediaDevices(); !slices.Contains(valid, d) {
			return invalid(field, "Invalid device type(s) %q (valid are %s)", cut(d, 64), strings.Join(valid, ", "))
		}
	}
	return nil
}

// detachMedia is DELETE /v1/nodes/{node}/vmedia.
func detachMedia(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	asked := strings.Join(c.r.URL.Query()["device_types"], ",")
	devices := strings.FieldsFunc(asked, func(r rune) bool { return r == ',' })
	if err := mediaDevices("device_types", devices...); err != nil {
		return err
	}
	if err := c.cfg.Provision.DetachMedia(ctx, n.UUID, devices, c.wait, c.user()); err != nil {
		return err
	}
	return c.empty()
}
