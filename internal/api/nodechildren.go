package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/conductor-metal/conductor/pkg/node"
)

// nodeChildrenRoutes list the nodes whose parent_node a node is.
func (a *api) nodeChildrenRoutes(s *resource[*node.Node]) {
	a.handle("GET /v1/nodes/{node}/children", 83, nodeChildren(s, false))
	a.handle("GET /v1/nodes/{node}/children/detail", 83, nodeChildren(s, true))
}

// nodeChildren is GET /v1/nodes/{node}/children: the uuids, or with detail the
// nodes themselves. Ironic has no detail.
func nodeChildren(s *resource[*node.Node], detail bool) route {
	return func(ctx context.Context, c *call) error {
		parent, err := c.node(ctx)
		if err != nil {
			return err
		}
		q := c.r.URL.Query()
		detail, err := s.detailed(c, q, detail)
		if err != nil {
			return err
		}
		names, err := s.chosen(c, detail)
		if err != nil {
			return err
		}
		page, err := s.list(ctx, node.ListRequest[*node.Node]{
			Match: func(n *node.Node) bool { return n.ParentNode == string(parent.UUID) }, MaxAge: c.maxAge(),
		})
		if err != nil {
			return err
		}
		v := &view{call: c}
		if err := v.load(ctx, names, page.Revision); err != nil {
			return err
		}
		aged(c, page)
		children := []any{}
		for _, n := range page.Items {
			if detail || q.Has("fields") {
				children = append(children, s.render(v, n, names))
			} else {
				children = append(children, n.UUID)
			}
		}
		where := c.url("nodes/?parent_node=" + url.QueryEscape(string(parent.UUID)))
		body := map[string]any{"children": children, "links": link{Href: where, Rel: "children"}}
		c.leftOut(ctx, page.Corrupt, body)
		return c.json(http.StatusOK, body)
	}
}
