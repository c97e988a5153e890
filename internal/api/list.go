package api

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// maxLimit is the longest page. Ironic: [api]max_limit.
const maxLimit = 1000

// filter makes a condition of a query parameter.
type filter[R node.Record] struct {
	since minor
	parse func(ctx context.Context, c *call, value string) (func(R) bool, error)
}

// paging are the parameters that every list knows.
var paging = []string{"fields", "detail", "limit", "marker", "sort_key", "sort_dir", "wait"}

// index lists records. On old paths the list is that of a node or portgroup.
func (s *resource[R]) index(detail bool) route {
	return func(ctx context.Context, c *call) error {
		q := c.r.URL.Query()
		all, err := s.detailed(c, q, detail)
		if err != nil {
			return err
		}
		names, err := s.chosen(c, all)
		if err != nil {
			return err
		}
		page, err := s.page(ctx, c, q)
		if err != nil {
			return err
		}
		v := &view{call: c}
		if err := v.load(ctx, names, page.Revision); err != nil {
			return err
		}
		aged(c, page)
		beside := map[string]any{}
		c.leftOut(ctx, page.Corrupt, beside)
		if page.Next != "" {
			q.Set("marker", page.Next)
			q.Set("limit", strconv.Itoa(len(page.Items)))
			beside["next"] = c.base() + c.r.URL.Path + "?" + q.Encode()
		}
		return s.writeList(v, page.Items, names, beside)
	}
}

// leftOut tells of records that cannot be shown: the log and the body which and
// why, and those who look at neither that there are some. Ironic's clients pass
// over what they do not know in a body.
func (c *call) leftOut(ctx context.Context, corrupt []*node.CorruptError, body map[string]any) {
	if len(corrupt) == 0 {
		return
	}
	texts := make([]string, len(corrupt))
	for i, err := range corrupt {
		c.cfg.Logger.WarnContext(ctx, "record left out of a list", "err", err)
		texts[i] = err.Error()
	}
	body["errors"] = texts
	c.w.Header().Set("Warning", fmt.Sprintf(`199 - "%d corrupt records left out, see errors"`, len(corrupt)))
}

func (s *resource[R]) detailed(c *call, q url.Values, detail bool) (bool, error) {
	if text := q.Get("detail"); text != "" {
		if c.v < 43 {
			return false, tooNew("The parameter detail", 43, c.v)
		}
		on, err := parseBool("detail", text)
		if err != nil {
			return false, err
		}
		detail = detail || on
	}
	if detail && q.Has("fields") {
		return false, invalid("fields", "cannot be used together with detail")
	}
	return detail, nil
}

// page reads the part of the list that the request wants.
func (s *resource[R]) page(ctx context.Context, c *call, q url.Values) (*node.Page[R], error) {
	limit, err := askedLimit(q)
	if err != nil {
		return nil, err
	}
	key, down, err := s.order(c, q)
	if err != nil {
		return nil, err
	}
	req := node.ListRequest[R]{Limit: limit, Marker: strings.ToLower(q.Get("marker")), MaxAge: c.maxAge()}
	if req.Marker != "" && !node.IsUUID(req.Marker) {
		return nil, invalid("marker", "must be the uuid of the last one seen")
	}
	if err := s.scope(ctx, c, &req); err != nil {
		return nil, err
	}
	if req.Match, err = s.match(ctx, c, q); err != nil {
		return nil, err
	}
	if key == "uuid" && !down {
		return s.list(ctx, req)
	}
	return s.sorted(ctx, req, key, down)
}

// order reads sort_key and sort_dir. Records lie in order of their uuids.
func (s *resource[R]) order(c *call, q url.Values) (key string, down bool, err error) {
	key = q.Get("sort_key")
	switch {
	case key == "" || key == "id":
		key = "uuid"
	case !s.sortable(key) || s.columns[key].since == beyond:
		return "", false, invalid("sort_key", "The sort_key value %q is an invalid field for sorting", cut(key, 64))
	case s.columns[key].since > c.v:
		return "", false, tooNew("Sorting by "+key, s.columns[key].since, c.v)
	}
	switch q.Get("sort_dir") {
	case "", "asc":
	case "desc":
		down = true
	default:
		return "", false, invalid("sort_dir", "must be asc or desc")
	}
	return key, down, nil
}

// scope narrows a list to the node or portgroup in the path.
func (s *resource[R]) scope(ctx context.Context, c *call, req *node.ListRequest[R]) error {
	switch {
	case c.r.PathValue("node") != "":
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		req.Node = n.UUID
	case c.r.PathValue("portgroup") != "":
		g, err := c.cfg.Store.Portgroup(ctx, c.r.PathValue("portgroup"))
		if err != nil {
			return err
		}
		req.Node = g.NodeUUID
	}
	return nil
}

// match makes one condition of all filters.
func (s *resource[R]) match(ctx context.Context, c *call, q url.Values) (func(R) bool, error) {
	var all []func(R) bool
	for name := range q {
		if slices.Contains(paging, name) {
			continue
		}
		f, ok := s.filters[name]
		if !ok || f.since == beyond {
			return nil, invalid(cut(name, 64), "is not a parameter of this list")
		}
		if f.since > c.v {
			return nil, tooNew("The parameter "+name, f.since, c.v)
		}
		m, err := f.parse(ctx, c, q.Get(name))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if f, ok := s.filters[""]; ok {
		m, err := f.parse(ctx, c, "")
		if err != nil {
			return nil, err
		}
		if m != nil {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(r R) bool {
		return !slices.ContainsFunc(all, func(m func(R) bool) bool { return !m(r) })
	}, nil
}

// sorted reads all records and puts them in an order that etcd does not have.
func (s *resource[R]) sorted(ctx context.Context, req node.ListRequest[R], key string, down bool) (*node.Page[R], error) {
	limit, marker := req.Limit, req.Marker
	req.Limit, req.Marker = 0, ""
	page, err := s.list(ctx, req)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(page.Items, func(a, b R) int {
		if down {
			return s.before(key, b, a)
		}
		return s.before(key, a, b)
	})
	if marker != "" {
		at := slices.IndexFunc(page.Items, func(r R) bool { return r.ID() == marker })
		if at < 0 {
			return nil, &node.NotFoundError{Kind: s.kind, Ref: marker}
		}
		page.Items = page.Items[at+1:]
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].ID()
	}
	return page, nil
}

// load reads what the chosen columns need besides the records of a revision.
func (v *view) load(ctx context.Context, names []string, from int64) error {
	if !slices.Contains(names, "reservation") {
		return nil
	}
	queues, err := v.queues(ctx, from)
	if err != nil {
		return err
	}
	v.holders = map[string]string{}
	for _, q := range queues {
		if h := exclusiveHolder(q); h != "" {
			v.holders[q.Name] = h
		}
	}
	return nil
}

// parseBool takes what Ironic takes for true and false.
func parseBool(field, text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "t", "yes", "y", "on", "1":
		return true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, nil
	}
	return false, invalid(field, "must be true or false")
}
