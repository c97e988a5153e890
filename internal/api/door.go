package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/node"
)

// The headers that carry a request's id, both ways.
const (
	headerRequestID = "X-Request-Id"
	headerIronicID  = "X-OpenStack-Request-ID"
	headerAnswerID  = "Openstack-Request-Id"
)

// answer is a ResponseWriter that remembers the status.
type answer struct {
	http.ResponseWriter
	to     *http.Request
	status int
}

// answerTimeout is how long a client may take to read its answer; streams give
// more for each event. Only now: the wait for a lock is no part of it.
const answerTimeout = 2 * time.Minute

// begin remembers the first status.
func (a *answer) begin(status int) {
	if a.status == 0 {
		a.status = status
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTimeout)) // a recorder has none
	}
}

// WriteHeader remembers the status.
func (a *answer) WriteHeader(status int) {
	a.begin(status)
	if !TakesRetryAfter(a.to) {
		a.Header().Del("Retry-After")
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write sends the status 200 if none was sent.
func (a *answer) Write(p []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController see the writer below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// told carries what only the inside of a request knows to where it is logged.
type told struct {
	id   string
	user string // who calls, "" if nobody knows
	err  error

	node node.ID // of the one that the client called by name
	name string
}

// called remembers what the client calls a node.
func (t *told) called(n *node.Node, ref string) {
	if !node.IsUUID(ref) {
		t.node, t.name = n.UUID, ref
	}
}

// inWords puts the name that the client knows in the place of the uuid, but not in keys and paths.
func (t *told) inWords(text string) string {
	if t.name == "" {
		return text
	}
	parts := strings.Split(text, string(t.node))
	for i := range parts[1:] {
		word := t.name
		if strings.HasSuffix(parts[i], "/") {
			word = string(t.node)
		}
		parts[i] += word
	}
	return strings.Join(parts, "")
}

type toldKey struct{}

func toldOf(ctx context.Context) *told {
	t, ok := ctx.Value(toldKey{}).(*told)
	if !ok {
		return &told{}
	}
	return t
}

// door is what every request passes: it answers paths and methods that do not
// exist, survives panics, and sees to headers, metrics and the log.
func (a *api) door() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		t := &told{id: requestID(r.Header)}
		h := w.Header()
		for _, name := range []string{headerRequestID, headerIronicID, headerAnswerID} {
			h.Set(name, t.id)
		}
		h.Set(headerMin, oldest.String())
		h.Set(headerMax, newest.String())
		r = r.WithContext(context.WithValue(r.Context(), toldKey{}, t))
		r.URL = plainURL(r)
		out := &answer{ResponseWriter: w, to: r}
		a.metrics.inFlight.Inc()
		defer func() {
			a.metrics.inFlight.Dec()
			p := recover()
			if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic value, as net/http compares it
				t.err = fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
				if out.status == 0 {
					faultOf(t.err).write(out)
				}
			}
			a.record(r, out, t, time.Since(start))
			if p == http.ErrAbortHandler { //nolint:errorlint // as above
				panic(p)
			}
		}()
		if t.user, t.err = a.admit(out, r); t.err != nil {
			faultOf(t.err).write(out)
			return
		}
		a.serve(out, r)
	})
}

// serve finds the route. What ServeMux says about paths and methods that do not
// exist is said in the words of this interface.
func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	probe := &probe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	err := refuse(errNoRoute, "The path %s does not exist.", cut(r.URL.Path, 255))
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		err = refuse(errMethod, "The method %s is not allowed for %s; allowed: %s.", cut(r.Method, 32), cut(r.URL.Path, 255), allow)
	}
	v, versionErr := askedVersion(r.Header)
	if versionErr == nil {
		w.Header().Set(headerVersion, v.String())
	}
	toldOf(r.Context()).err = err
	faultOf(err).write(w)
}

// probe takes an answer and drops its body.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

// record counts and logs a request that has been answered.
func (a *api) record(r *http.Request, out *answer, t *told, took time.Duration) {
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	_, route, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		route = r.Pattern
	}
	if route == "" {
		route = "none"
	}
	a.metrics.served(route, r.Method, status, took)
	level := slog.LevelInfo
	switch {
	case !strings.HasPrefix(route, "/v1/") && status < 500, t.err == nil && (route == "/readyz" || route == "/healthz"):
		level = slog.LevelDebug // readyz itself tells when something fails
	case status >= 500 && !errors.Is(t.err, context.Canceled):
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", cut(r.URL.Path, 1024)), slog.String("route", route),
		slog.Int("code", status), slog.String("took", took.String()), slog.String("request_id", t.id),
		slog.String("user", userOf(r)), slog.String("remote", r.RemoteAddr),
	}
	if t.err != nil {
		attrs = append(attrs, slog.String("err", t.err.Error()))
	}
	a.cfg.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID takes over the client's id if it is harmless, or makes one.
func requestID(h http.Header) string {
	for _, name := range []string{headerRequestID, headerIronicID} {
		id := h.Get(name)
		harmless := func(c rune) bool {
			return c < 128 && (c == '-' || c == '_' || c == '.' || c == ':' || 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9')
		}
		if id != "" && len(id) <= 128 && strings.IndexFunc(id, func(c rune) bool { return !harmless(c) }) < 0 {
			return id
		}
	}
	return "req-" + uuid.NewString()
}

// unversioned are the paths that are served as if they began with /v1.
var unversioned = map[string]bool{
	"nodes": true, "ports": true, "portgroups": true, "volume": true, "conductors": true, "drivers": true,
	"lookup": true, "heartbeat": true,
}

// plainURL is the URL without a slash at its end, and below /v1.
func plainURL(r *http.Request) *url.URL {
	u := *r.URL
	u.RawPath = ""
	if u.Path != "/" {
		u.Path = strings.TrimRight(u.Path, "/")
		if u.Path == "" {
			u.Path = "/"
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if unversioned[first] {
		u.Path = "/v1" + u.Path
	}
	return &u
}

// userOf is who the request is from, "" if nobody knows.
func userOf(r *http.Request) string { return toldOf(r.Context()).user }

// remoteOf names a client that has no name.
func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // maps, strings and what JSON gave us
		panic(fmt.Sprintf("encode answer: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that is gone needs no answer
}
