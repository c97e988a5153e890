package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// lockEntry is one place in a lock queue as clients see it.
type lockEntry struct {
	Holder   string     `json:"holder"`
	Mode     lease.Mode `json:"mode"`
	Granted  bool       `json:"granted"`
	Purpose  string     `json:"purpose"`
	User     string     `json:"user,omitempty"`
	Task     string     `json:"task,omitempty"`
	Session  string     `json:"session,omitempty"`
	Ticket   string     `json:"ticket,omitempty"`
	Since    any        `json:"since"`
	TTL      float64    `json:"ttl_seconds,omitempty"`
	Lease    string     `json:"lease,omitempty"`
	Revision int64      `json:"revision"` // names the entry, to break it
	Foreign  bool       `json:"foreign,omitempty"`
}

func entryOf(e lease.Entry, granted bool) lockEntry {
	out := lockEntry{
		Holder: holderName(e), Mode: e.Mode, Granted: granted, Purpose: e.Purpose, User: e.User, Task: e.Task,
		Session: e.Session, Ticket: e.Ticket, Since: stampOf(e.Since), TTL: e.TTL.Seconds(), Revision: e.Create, Foreign: e.Foreign,
	}
	if e.Lease != 0 {
		out.Lease = strconv.FormatInt(int64(e.Lease), 16)
	}
	return out
}

// queueView is a lock queue as clients see it.
type queueView struct {
	Node     string      `json:"node"`
	Revision int64       `json:"revision"`
	Holders  []lockEntry `json:"holders"`
	Waiters  []lockEntry `json:"waiters"`
}

func queueOf(q lease.Queue) queueView {
	out := queueView{Node: q.Name, Revision: q.Revision, Holders: []lockEntry{}, Waiters: []lockEntry{}}
	for _, e := range q.Holders() {
		out.Holders = append(out.Holders, entryOf(e, true))
	}
	for _, e := range q.Waiters() {
		out.Waiters = append(out.Waiters, entryOf(e, false))
	}
	return out
}

// listLocks is GET /v1/locks.
func listLocks(ctx context.Context, c *call) error {
	if on, err := c.watching(); err != nil || on {
		if err != nil {
			return err
		}
		return c.watch(ctx, "")
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	queues, err := c.queues(ctx, 0)
	if err != nil {
		return err
	}
	out := []queueView{}
	for _, q := range queues {
		out = append(out, queueOf(q))
	}
	return c.json(http.StatusOK, map[string]any{"locks": out})
}

// showLock is GET /v1/locks/{node}.
func showLock(ctx context.Context, c *call) error {
	short, cancel := c.bounded(ctx)
	defer cancel()
	name, err := c.lockName(short)
	if err != nil {
		return err
	}
	if on, err := c.watching(); err != nil || on {
		if err != nil {
			return err
		}
		return c.watch(ctx, name)
	}
	q, err := c.cfg.Locks.Queue(short, name)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, queueOf(q))
}

func (c *call) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, readTimeout, fmt.Errorf("%w after %s", context.DeadlineExceeded, readTimeout))
}

func (c *call) watching() (bool, error) {
	text := c.r.URL.Query().Get("watch")
	if text == "" {
		return false, nil
	}
	return parseBool("watch", text)
}

// lockName is what is locked: a node's uuid. Names are resolved; what is no node
// may still be locked, by hand or because the node has just been deleted.
func (c *call) lockName(ctx context.Context) (string, error) {
	ref := c.r.PathValue("node")
	if strings.ContainsAny(ref, "/\x00") {
		return "", invalid("node", "must be a uuid or a name")
	}
	if n, err := c.cfg.Store.Find(ctx, ref); err == nil {
		toldOf(ctx).called(n, ref)
		return string(n.UUID), nil
	} else if faultOf(err).kind != "not_found" {
		if !node.IsUUID(ref) || faultOf(err).kind != "corrupt" {
			return "", err
		}
	}
	if node.IsUUID(ref) {
		ref = strings.ToLower(ref)
	}
	q, err := c.cfg.Locks.Queue(ctx, ref)
	if err != nil {
		return "", err
	}
	if len(q.Entries) == 0 {
		return "", &node.NotFoundError{Kind: node.KindNode, Ref: ref}
	}
	return ref, nil
}

// breakLock is DELETE /v1/locks/{node}?revision=N&reason=text. The revision says
// which entry is meant, so that nobody breaks a lock that they have not seen.
func breakLock(ctx context.Context, c *call) error {
	q := c.r.URL.Query()
	revision, err := strconv.ParseInt(q.Get("revision"), 10, 64)
	if err != nil || revision <= 0 {
		return invalid("revision", "is required: the revision of the entry, as GET %s shows it", c.r.URL.Path)
	}
	why := strings.TrimSpace(q.Get("reason"))
	if why == "" || len(why) > 1024 {
		return invalid("reason", "is required, with at most 1024 bytes: others will want to know why")
	}
	name, err := c.lockName(ctx)
	if err != nil {
		return err
	}
	by := c.who()
	done, err := c.cfg.Locks.Break(ctx, name, revision, by, why)
	if err != nil {
		return changed(err)
	}
	c.metrics.breaks.Inc()
	c.cfg.Logger.WarnContext(ctx, "lock broken", "lock", name, "holder", done.Holder, "user", by, "reason", why,
		"rev", revision, "request_id", toldOf(ctx).id)
	return c.json(http.StatusOK, done)
}
