package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// eachPage reads a list, page after page. gophercloud's own ends at the first,
// for it looks for links that this API does not have.
func (c *apiClient) eachPage(ctx context.Context, path string, query url.Values, page func(raw map[string]json.RawMessage) error) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	for path != "" {
		var raw map[string]json.RawMessage
		if err := c.do(ctx, http.MethodGet, path, nil, &raw); err != nil {
			return err
		}
		if err := page(raw); err != nil {
			return err
		}
		path = ""
		if next, err := url.Parse(bare(raw["next"])); err == nil && next.Path != "" {
			path = next.RequestURI()
		}
	}
	return nil
}

// column is what a table shows of a record.
type column struct {
	title string
	text  func(r map[string]json.RawMessage) string
}

// plainColumn shows a field as it is.
func plainColumn(name string) column {
	title := strings.ToUpper(strings.ReplaceAll(name, "_", " "))
	return column{title, func(r map[string]json.RawMessage) string { return bare(r[name]) }}
}

// listing is a list of records: what to ask for, and what to show.
type listing struct {
	path, plural string
	columns      []column

	query  url.Values
	fields []string
	sort   string
	limit  int
}

// filter adds flags that choose among the records.
func (l *listing) filter(f *pflag.FlagSet, filters []field) {
	l.query = url.Values{}
	for _, one := range filters {
		set := func(v string) error {
			l.query.Set(one.name, v)
			return nil
		}
		if one.kind == switchField {
			f.BoolFunc(one.flagName(), one.help, set)
		} else {
			f.Func(one.flagName(), one.help, set)
		}
		annotate(f, one.flagName(), fromCommandLineOnly)
	}
	f.StringSliceVar(&l.fields, "fields", nil, "show these fields")
	f.StringVar(&l.sort, "sort", "", "order by this field; field:desc turns it around")
	f.IntVar(&l.limit, "limit", 0, "show so many at most (0: all)")
	for _, name := range []string{"fields", "sort", "limit"} {
		annotate(f, name, fromCommandLineOnly)
	}
}

// ask completes the query.
func (l *listing) ask() (url.Values, error) {
	q := url.Values{}
	for k, v := range l.query {
		q[k] = slices.Clone(v)
	}
	if len(l.fields) > 0 {
		q.Set("fields", strings.Join(l.fields, ","))
	} else {
		q.Set("detail", "true")
	}
	if l.sort != "" {
		key, direction, turned := strings.Cut(l.sort, ":")
		if turned && direction != "asc" && direction != "desc" {
			return nil, usage(fmt.Errorf("--sort %q: want FIELD, FIELD:asc or FIELD:desc", l.sort))
		}
		q.Set("sort_key", key)
		if turned {
			q.Set("sort_dir", direction)
		}
	}
	switch {
	case l.limit < 0:
		return nil, usage(fmt.Errorf("--limit %d: want a number of records", l.limit))
	case l.limit > 0:
		q.Set("limit", fmt.Sprint(min(l.limit, 1000)))
	}
	return q, nil
}

// errEnough ends a list before its last page.
var errEnough = errors.New("enough")

// list reads and shows the records.
func (l *listing) list(ctx context.Context, p program, client *apiClient, o *output) error {
	q, err := l.ask()
	if err != nil {
		return err
	}
	all := []map[string]json.RawMessage{}
	err = client.eachPage(ctx, l.path, q, func(raw map[string]json.RawMessage) error {
		var records []map[string]json.RawMessage
		var unreadable []string
		if err := json.Unmarshal(raw[l.plural], &records); err != nil {
			return fmt.Errorf("%s is no conductor, or of another version: %w", client.server, err)
		}
		if raw["errors"] != nil && json.Unmarshal(raw["errors"], &unreadable) == nil {
			for _, text := range unreadable {
				fmt.Fprintf(p.err, "conductor: left out: %s\n", printable(text, false))
			}
		}
		all = append(all, records...)
		if l.limit > 0 && len(all) >= l.limit {
			all = all[:l.limit]
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return o.show(l.view(all))
}

func (l *listing) view(all []map[string]json.RawMessage) view {
	columns := l.columns
	if len(l.fields) > 0 {
		columns = nil
		for _, name := range l.fields {
			columns = append(columns, plainColumn(name))
		}
	}
	v := view{data: all}
	for _, c := range columns {
		v.header = append(v.header, c.title)
	}
	for _, r := range all {
		for name, value := range r {
			r[name] = plain(value)
		}
		label := bare(r["name"])
		if label == "" {
			label = bare(r["uuid"])
		}
		v.names = append(v.names, label)
		var row []string
		for _, c := range columns {
			row = append(row, c.text(r))
		}
		v.rows = append(v.rows, row)
	}
	return v
}

// bare is a JSON value for a table: a text without quotes, nothing for null.
func bare(raw json.RawMessage) string {
	var s *string
	switch {
	case raw == nil:
		return ""
	case json.Unmarshal(raw, &s) == nil:
		if s == nil {
			return ""
		}
		return *s
	case string(raw) == "{}" || string(raw) == "[]":
		return ""
	}
	return string(raw)
}
