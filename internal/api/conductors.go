package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/conductor-metal/conductor/internal/cluster"
)

// conductorsNow reads who lives, in order of the names.
func (c *call) conductorsNow(ctx context.Context) (*cluster.View, error) {
	return cluster.Read(ctx, c.cfg.Locks.Client, c.cfg.Locks.Root)
}

// conductorBrief is what a list without detail shows; the rest comes with it.
var (
	conductorBrief = []string{"hostname", "conductor_group", "alive", "links"}
	conductorAll   = append(slices.Clone(conductorBrief), "drivers", "created_at", "updated_at")
)

func (c *call) conductorView(m cluster.Member, fields []string) map[string]any {
	whole := map[string]any{
		"hostname": m.Host, "conductor_group": m.Group, "alive": true, "links": c.links("conductors/" + m.Host),
		"drivers": m.Drivers, "created_at": stampOf(m.Since), "updated_at": stampOf(m.Since),
	}
	if len(m.Drivers) == 0 {
		whole["drivers"] = c.cfg.Hardware.Types()
	}
	maps.DeleteFunc(whole, func(name string, _ any) bool { return !slices.Contains(fields, name) })
	return whole
}

// conductors is GET /v1/conductors. The marker is a host name.
func conductors(ctx context.Context, c *call) error {
	q := c.r.URL.Query()
	fields := conductorBrief
	if text := q.Get("detail"); text != "" {
		detail, err := parseBool("detail", text)
		if err != nil {
			return err
		}
		if detail && q.Has("fields") {
			return invalid("fields", "cannot be used together with detail")
		}
		if detail {
			fields = conductorAll
		}
	}
	if asked := q["fields"]; len(asked) > 0 {
		var err error
		if fields, err = fieldsAmong(asked, conductorAll); err != nil {
			return err
		}
	}
	limit, err := askedLimit(q)
	if err != nil {
		return err
	}
	down, err := conductorOrder(q)
	if err != nil {
		return err
	}
	now, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	all := now.Members
	if down {
		slices.Reverse(all)
	}
	if marker := q.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(m cluster.Member) bool { return m.Host == marker })
		if at < 0 {
			return refuse(errMissing, "Conductor %s could not be found.", cut(marker, 255))
		}
		all = all[at+1:]
	}
	body := map[string]any{}
	if len(all) > limit {
		all = all[:limit]
		q.Set("marker", all[limit-1].Host)
		q.Set("limit", strconv.Itoa(limit))
		body["next"] = c.base() + c.r.URL.Path + "?" + q.Encode()
	}
	out := []map[string]any{}
	for _, m := range all {
		out = append(out, c.conductorView(m, fields))
	}
	body["conductors"] = out
	return c.json(http.StatusOK, body)
}

// conductorOrder reads sort_key and sort_dir; conductors have one order, that of
// their names.
func conductorOrder(q url.Values) (down bool, err error) {
	if key := q.Get("sort_key"); key != "" && key != "id" && key != "hostname" {
		return false, invalid("sort_key", "The sort_key value %q is an invalid field for sorting", cut(key, 64))
	}
	switch q.Get("sort_dir") {
	case "", "asc":
		return false, nil
	case "desc":
		return true, nil
	}
	return false, invalid("sort_dir", "must be asc or desc")
}

// conductor is GET /v1/conductors/{host}.
func conductor(ctx context.Context, c *call) error {
	host, fields := c.r.PathValue("host"), conductorAll
	if asked := c.r.URL.Query()["fields"]; len(asked) > 0 {
		var err error
		if fields, err = fieldsAmong(asked, conductorAll); err != nil {
			return err
		}
	}
	now, err := c.conductorsNow(ctx)
	if err != nil {
		return err
	}
	m, ok := now.Member(host)
	if !ok {
		return refuse(errMissing, "Conductor %s could not be found.", cut(host, 255))
	}
	return c.json(http.StatusOK, c.conductorView(m, fields))
}
