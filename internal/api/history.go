package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// maxEventText is how much of an event's text a list without detail shows.
// Ironic: the same.
const maxEventText = 255

// historyRoutes add what has happened to a node, in the form of Ironic. Its
// client asks for the details by a path, which Ironic itself does not have.
func (a *api) historyRoutes() {
	a.handle("GET /v1/nodes/{node}/history", 78, listHistory(false))
	a.handle("GET /v1/nodes/{node}/history/detail", 78, listHistory(true))
	a.handle("GET /v1/nodes/{node}/history/{event}", 78, showHistory)
}

// listHistory is GET /v1/nodes/{node}/history: the oldest first, unless sort_dir
// says otherwise. Events are in the order of their uuids, which is that of time.
func listHistory(detail bool) route {
	return func(ctx context.Context, c *call) error {
		q := c.r.URL.Query()
		detail, down, err := historyOrder(q, detail)
		if err != nil {
			return err
		}
		limit, err := askedLimit(q)
		if err != nil {
			return err
		}
		n, err := c.node(ctx)
		if err != nil {
			return err
		}
		from, to := c.cfg.Store.Keys().Events(n.UUID), clientv3.GetPrefixRangeEnd(c.cfg.Store.Keys().Events(n.UUID))
		if marker := strings.ToLower(q.Get("marker")); marker != "" && down {
			to = from + marker
		} else if marker != "" {
			from += marker + "\x00"
		}
		order := clientv3.SortAscend
		if down {
			order = clientv3.SortDescend
		}
		r, err := c.cfg.Locks.Client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithSort(clientv3.SortByKey, order), clientv3.WithLimit(int64(limit)))
		if err != nil {
			return err
		}
		list := []map[string]any{}
		for _, kv := range r.Kvs {
			if entry, ok := c.historyEntry(n.UUID, kv, detail); ok {
				list = append(list, entry)
			}
		}
		body := map[string]any{"history": list}
		if r.More {
			key := string(r.Kvs[len(r.Kvs)-1].Key)
			q.Set("marker", key[strings.LastIndex(key, "/")+1:])
			q.Set("limit", strconv.Itoa(limit))
			body["next"] = c.base() + c.r.URL.Path + "?" + q.Encode()
		}
		return c.json(http.StatusOK, body)
	}
}

// historyOrder reads how a client wants its history.
func historyOrder(q url.Values, detailed bool) (detail, down bool, err error) {
	for name := range q {
		switch name {
		case "detail", "limit", "marker", "sort_key", "sort_dir", "wait":
		default:
			return false, false, invalid(cut(name, 64), "is not a parameter of this list")
		}
	}
	if text := q.Get("detail"); text != "" {
		if detail, err = parseBool("detail", text); err != nil {
			return false, false, err
		}
	}
	switch key := q.Get("sort_key"); key {
	case "", "created_at", "uuid", "id":
	default:
		return false, false, invalid("sort_key", "The sort_key value %q is an invalid field for sorting", cut(key, 64))
	}
	switch q.Get("sort_dir") {
	case "", "asc":
	case "desc":
		down = true
	default:
		return false, false, invalid("sort_dir", "must be asc or desc")
	}
	if marker := q.Get("marker"); marker != "" && !node.IsUUID(marker) {
		return false, false, invalid("marker", "must be the uuid of the last one seen")
	}
	return detail || detailed, down, nil
}

// showHistory is GET /v1/nodes/{node}/history/{event}.
func showHistory(ctx context.Context, c *call) error {
	n, err := c.node(ctx)
	if err != nil {
		return err
	}
	id := c.r.PathValue("event")
	missing := refuse(errMissing, "Node history record %s could not be found.", cut(id, 64))
	if !node.IsUUID(id) {
		return missing
	}
	r, err := c.cfg.Locks.Client.Get(ctx, c.cfg.Store.Keys().Events(n.UUID)+strings.ToLower(id))
	if err != nil {
		return err
	}
	for _, kv := range r.Kvs {
		if entry, ok := c.historyEntry(n.UUID, kv, true); ok {
			return c.json(http.StatusOK, entry)
		}
	}
	return missing
}

// historyEntry shows an event as an entry of the history; what is none is left out.
func (c *call) historyEntry(id node.ID, kv *mvccpb.KeyValue, detail bool) (map[string]any, bool) {
	var n task.Notification
	if json.Unmarshal(kv.Value, &n) != nil || n.ID == "" || n.Type == "" {
		return nil, false
	}
	path := "nodes/" + string(id) + "/history/" + n.ID
	entry := map[string]any{
		"uuid": n.ID, "created_at": stampOf(n.At), "severity": n.Level, "event": n.Text(),
		"links": []link{{Href: c.url(path), Rel: "self"}},
	}
	if detail {
		entry["event_type"], entry["conductor"], entry["user"] = n.Subject(), shape("", n.Publisher), shape("", n.User)
	} else if text := n.Text(); len(text) > maxEventText {
		entry["event"] = cut(text, maxEventText-3)
	}
	return entry, true
}
