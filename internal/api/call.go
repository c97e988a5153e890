package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// How long a request may take, apart from what it may wait for a lock. Drivers
// may take 30 s to validate.
const (
	readTimeout   = 10 * time.Second
	changeTimeout = 60 * time.Second
	defaultWait   = 2 * time.Second // Ironic: three tries within two seconds
	maxBody       = 1 << 20
)

// call is one request on its way through a route.
type call struct {
	*api
	w    http.ResponseWriter
	r    *http.Request
	v    minor
	wait time.Duration // for the node's lock

	patient bool   // the client asked to wait
	at      string // see base
}

// route answers a call or returns why it cannot; it does not do both.
type route func(ctx context.Context, c *call) error

// handle adds a route, whose work is bounded in time.
func (a *api) handle(pattern string, since minor, do route) {
	if method, path, _ := strings.Cut(pattern, " "); method != http.MethodGet && strings.HasPrefix(path, "/v1/nodes/{node}") {
		do = routed(do)
	}
	a.add(pattern, since, func(ctx context.Context, c *call) error {
		limit := changeTimeout + c.wait
		if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
			limit = readTimeout
		}
		if strings.HasSuffix(pattern, "/validate") {
			limit = changeTimeout
		}
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w after %s", context.DeadlineExceeded, limit))
		defer cancel()
		return do(ctx, c)
	})
}

// stream adds a route that may go on until the client has enough.
func (a *api) stream(pattern string, do route) { a.add(pattern, always, do) }

// plain adds a route to the map, from which the tests know what the document of
// the interface must have.
func (a *api) plain(pattern string, since minor, h http.Handler) {
	a.since[pattern] = since
	a.mux.Handle(pattern, h)
}

func (a *api) add(pattern string, since minor, do route) {
	a.plain(pattern, since, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		err := a.begin(w, r, since, func(c *call) error { return do(ctx, c) })
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
				err = fmt.Errorf("%w: %w (%w)", task.ErrClosed, cause, err) // the server stops
			}
			toldOf(ctx).err = err
			f := faultOf(err)
			f.words = toldOf(ctx).inWords
			f.write(w)
		}
	}))
}

// begin reads what every request may say.
func (a *api) begin(w http.ResponseWriter, r *http.Request, since minor, do func(*call) error) error {
	v, err := askedVersion(r.Header)
	if err != nil {
		return err
	}
	w.Header().Set(headerVersion, v.String())
	w.Header().Set(headerCommon, "baremetal "+v.String())
	if v < since {
		return refuse(errNoRoute, "The path %s needs API version %s or newer; the request is for %s.", cut(r.URL.Path, 255), since, v)
	}
	c := &call{api: a, w: w, r: r, v: v}
	if c.wait, c.patient, err = a.askedWait(r); err != nil {
		return err
	}
	return do(c)
}

// askedWait is how long a request is willing to wait for a lock: ?wait= as a
// duration or in seconds, or else the header Prefer: wait= in seconds (RFC 7240).
// It also says whether the request asks to wait at all.
func (a *api) askedWait(r *http.Request) (wait time.Duration, asked bool, err error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		for _, p := range strings.FieldsFunc(strings.Join(r.Header.Values("Prefer"), ","), func(c rune) bool { return c == ',' || c == ';' }) {
			if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "wait") {
				text = strings.Trim(value, `"`)
				break
			}
		}
	}
	if text == "" {
		return min(defaultWait, a.cfg.MaxWait), false, nil
	}
	d, err := time.ParseDuration(text)
	if n, secondsErr := strconv.ParseUint(text, 10, 31); secondsErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return 0, false, invalid("wait", "%q is not a time such as 30s or 30", cut(text, 32))
	}
	return min(d, a.cfg.MaxWait), d > 0, nil
}

// json answers with a body.
func (c *call) json(status int, body any) error {
	writeJSON(c.w, status, body)
	return nil
}

// accepted answers 202 with no body, which clients must not take for JSON.
func (c *call) accepted(location string) error {
	if location != "" {
		c.w.Header().Set("Location", location)
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// empty answers 204.
func (c *call) empty() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// base is the address under which the client reached us.
func (c *call) base() string {
	if c.at != "" { // lists ask often
		return c.at
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	host := c.r.Host
	if host == "" {
		host = c.cfg.Host
	}
	c.at = scheme + "://" + host
	return c.at
}

// url is an absolute address below /v1.
func (c *call) url(path string) string { return c.base() + "/v1/" + path }

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
}

// links are the two links that everything has.
func (c *call) links(path string) []link {
	return []link{{Href: c.url(path), Rel: "self"}, {Href: c.base() + "/" + path, Rel: "bookmark"}}
}

// node finds the node that the path, or for old paths the query, names.
func (c *call) node(ctx context.Context) (*node.Node, error) {
	ref := c.r.PathValue("node")
	if ref == "" {
		ref = c.r.URL.Query().Get("node")
	}
	return c.findNode(ctx, ref)
}

// findNode finds a node by uuid, or by name for those who know of names.
func (c *call) findNode(ctx context.Context, ref string) (*node.Node, error) {
	if ref == "" {
		return nil, invalid("node", "is required")
	}
	if c.v < 5 && !node.IsUUID(ref) {
		return nil, &node.NotFoundError{Kind: node.KindNode, Ref: ref}
	}
	n, err := c.cfg.Store.Find(ctx, ref)
	if err == nil {
		toldOf(ctx).called(n, ref)
	}
	return n, err
}

// user is on whose behalf the call is made, "" if nobody knows.
func (c *call) user() string { return userOf(c.r) }

// who is the user, or else where the call came from.
func (c *call) who() string {
	if name := c.user(); name != "" {
		return name
	}
	return "unnamed client at " + remoteOf(c.r)
}
