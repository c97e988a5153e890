package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

func (a *api) shardRoutes() { a.handle("GET /v1/shards", 82, shards) }

// noShard stands for that of the nodes without one, as in Ironic.
const noShard = "None"

// shards is GET /v1/shards: how many nodes each has, those with most first. It is
// not paged, as in Ironic: get_shard_list.
func shards(ctx context.Context, c *call) error {
	page, err := c.cfg.Lists.Nodes(ctx, node.ListRequest[*node.Node]{MaxAge: c.maxAge()})
	if err != nil {
		return err
	}
	aged(c, page)
	type shard struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	all := []shard{}
	for _, n := range page.Items {
		name := cmp.Or(n.Shard, noShard)
		at := slices.IndexFunc(all, func(s shard) bool { return s.Name == name })
		if at < 0 {
			all, at = append(all, shard{Name: name}), len(all)
		}
		all[at].Count++
	}
	slices.SortFunc(all, func(a, b shard) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Name, b.Name)) })
	body := map[string]any{"shards": all}
	c.leftOut(ctx, page.Corrupt, body)
	return c.json(http.StatusOK, body)
}
