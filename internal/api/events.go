package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/conductor-metal/conductor/internal/events"
	"github.com/conductor-metal/conductor/pkg/node"
)

// headerLastID is where a client that comes back says how far it has come: the
// revision that came last as the id of an event.
const headerLastID = "Last-Event-ID"

// retryMillis is how long a client should wait before it comes back.
const retryMillis = 2000

// eventQuery is what a request wants of the events.
type eventQuery struct {
	since  int64 // after this revision; -1: from now on
	follow bool
	limit  int
	want   events.Filter
}

func (a *api) feed() events.Feed {
	return events.Feed{Client: a.cfg.Locks.Client, Keys: a.cfg.Store.Keys()}
}

// listEvents is GET /v1/events: server-sent events, from where the client has
// been or wants to begin, until it has enough; or with follow=false what there
// is, as JSON if that is what the client accepts.
func listEvents(ctx context.Context, c *call) error {
	short, cancel := c.bounded(ctx)
	defer cancel()
	q, err := c.eventQuery(short)
	if err != nil {
		return err
	}
	if q.since < 0 {
		q.since, err = c.feed().Now(short)
	} else {
		err = c.feed().Begin(short, q.since)
	}
	if err != nil {
		return err
	}
	if !q.follow && strings.Contains(c.r.Header.Get("Accept"), "application/json") {
		return c.eventPage(short, q)
	}
	return c.streaming(ctx, true, func(ctx context.Context, s *stream) error {
		if s.write(fmt.Sprintf("retry: %d\nid: %d\n\n", retryMillis, q.since)) != nil {
			return nil
		}
		return c.tellEvents(ctx, s, q)
	})
}

// tellEvents fills a stream.
func (c *call) tellEvents(ctx context.Context, s *stream, q eventQuery) error {
	tell := c.feed().Follow
	if !q.follow {
		tell = c.feed().Kept
	}
	for b, err := range tell(ctx, q.since, q.want) {
		if err != nil {
			return err
		}
		if s.reach(b.Revision, b.Events) != nil {
			return nil // the client is gone
		}
	}
	if !q.follow && ctx.Err() == nil {
		_ = s.alive() // how far it was
	}
	return nil
}

// eventPage answers with a list.
func (c *call) eventPage(ctx context.Context, q eventQuery) error {
	all, upto, more, err := c.feed().List(ctx, q.since, q.limit, q.want)
	if err != nil {
		return err
	}
	list := []json.RawMessage{}
	for _, b := range all {
		for _, e := range b.Events {
			list = append(list, numbered(b.Revision, e.JSON))
		}
	}
	body := map[string]any{"events": list, "revision": upto}
	if more {
		next := c.r.URL.Query()
		next.Set("since", strconv.FormatInt(upto, 10))
		body["next"] = c.base() + c.r.URL.Path + "?" + next.Encode()
	}
	return c.json(http.StatusOK, body)
}

// numbered puts the revision before the fields of an event.
func numbered(revision int64, event []byte) json.RawMessage {
	return fmt.Appendf(nil, `{"revision":%d,%s`, revision, event[1:])
}

// eventQuery reads what the client wants. Where it has been counts more than
// where it once wanted to begin: a browser says both when it comes back.
func (c *call) eventQuery(ctx context.Context) (q eventQuery, err error) {
	in := c.r.URL.Query()
	for name := range in {
		switch name {
		case "since", "node", "type", "follow", "limit", "wait":
		default:
			return q, invalid(cut(name, 64), "is not a parameter of the events; since, node, type, follow and limit are")
		}
	}
	q = eventQuery{follow: true, since: -1, want: events.Filter{Type: in.Get("type")}}
	if text := in.Get("follow"); text != "" {
		if q.follow, err = parseBool("follow", text); err != nil {
			return q, err
		}
	}
	if !q.follow {
		q.since = 0 // of what comes from now on, there would be nothing
	}
	name, text := headerLastID, c.r.Header.Get(headerLastID)
	if text == "" {
		name, text = "since", in.Get("since")
	}
	if text != "" {
		if q.since, err = strconv.ParseInt(text, 10, 64); err != nil || q.since < 0 {
			return q, invalid(name, "must be a revision as the id of an event tells it, or 0 for all that are kept")
		}
	}
	if q.limit, err = askedLimit(in); err != nil {
		return q, err
	}
	q.want.Node, err = c.eventNode(ctx, in.Get("node"))
	return q, err
}

// eventNode is the node whose events are wanted. One that is gone has a uuid still.
func (c *call) eventNode(ctx context.Context, ref string) (node.ID, error) {
	if ref == "" || node.IsUUID(ref) {
		return node.ID(strings.ToLower(ref)), nil
	}
	n, err := c.cfg.Store.Find(ctx, ref)
	if err != nil {
		return "", err
	}
	toldOf(ctx).called(n, ref)
	return n.UUID, nil
}

// askedLimit is the length of a page.
func askedLimit(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return maxLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, invalid("limit", "must be a positive number")
	}
	return min(n, maxLimit), nil
}
