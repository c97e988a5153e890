package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/allocate"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// server is a whole conductor with one client in front and an etcd in memory
// behind it.
type server struct {
	http.Handler
	etcd    *leasetest.Etcd
	client  *clientv3.Client
	store   *node.Store
	lists   *node.Cache
	session *lease.Session
	alloc   *allocate.Allocator
	tasks   *task.Manager
	bmc     *hardwaretest.BMC
	reg     *prometheus.Registry
	log     *lockedBuffer
	version string // sent with each request
	api     *api
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble runs a test of a server where time costs nothing.
func inBubble(t *testing.T, run func(t *testing.T, s *server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(t, newServer(t)) })
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{etcd: leasetest.New(), bmc: &hardwaretest.BMC{}, reg: prometheus.NewRegistry(), log: &lockedBuffer{}, version: "latest"}
	t.Cleanup(s.etcd.Close)
	s.client = s.etcd.Client("c1")
	t.Cleanup(func() { _ = s.client.Close() })
	s.store = node.NewStore(s.client, lease.DefaultRoot)
	s.lists = node.NewCache(s.store, node.CacheConfig{})
	t.Cleanup(s.lists.Close)
	s.session = s.open(t, "c1.example")
	var err error
	s.tasks, err = task.NewManager(task.Config{Client: s.client, Sessions: s.session, Hardware: hardwaretest.Registry(s.bmc), Workers: 3, ReservedPercent: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.tasks.Close(context.Background()) })
	s.alloc, err = allocate.New(allocate.Config{Host: "c1.example", Store: s.store, Tasks: s.tasks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.alloc.Close(context.Background()) })
	s.api, err = build(s.config(s.session))
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = newJudge(t, s.api)
	return s
}

func (s *server) config(sessions task.Sessions) Config {
	return Config{
		Host: "c1.example", Version: "1.2.3", Store: s.store, Lists: s.lists, Locks: lease.Locks{Client: s.client}, Tasks: s.tasks,
		Provision: provision.New(provision.Config{Tasks: s.tasks, Store: s.store}), Hardware: hardwaretest.Registry(s.bmc), Sessions: sessions, Allocations: s.alloc,
		Registry: s.reg, Logger: slog.New(slog.NewJSONHandler(s.log, nil)),
	}
}

// open opens a session of another conductor or of the own one.
func (s *server) open(t testing.TB, holder string) *lease.Session {
	t.Helper()
	session, err := lease.Open(t.Context(), s.client, lease.Config{Holder: holder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	return session
}

// later does something in a while, in any case before the server ends.
func later(t *testing.T, d time.Duration, f func(context.Context) error) {
	t.Helper()
	done := make(chan struct{})
	time.AfterFunc(d, func() {
		defer close(done)
		if err := f(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { <-done })
}

// leave changes the node in a while and releases its lock with that, as another
// conductor does at the end of its work.
func (s *server) leave(t *testing.T, d time.Duration, l *lease.Lock, change func(*node.Node)) {
	t.Helper()
	later(t, d, func(ctx context.Context) error {
		old, err := s.store.Node(ctx, node.ID(l.Name()))
		if err != nil {
			return err
		}
		n := old.Clone()
		change(n)
		c, err := s.store.Keys().Update(old, n)
		if err != nil {
			return err
		}
		return l.Release(ctx, lease.Write{If: c.If, Then: c.Then, Else: c.Else})
	})
}

// reply is an answer, decoded.
type reply struct {
	Status int
	Header http.Header
	Raw    string
	Body   map[string]any
}

// fault is the inner text of an error body.
func (r reply) fault() string {
	var inner struct {
		Faultstring string `json:"faultstring"`
		Faultcode   string `json:"faultcode"`
	}
	text, _ := r.Body["error_message"].(string)
	_ = json.Unmarshal([]byte(text), &inner)
	return inner.Faultstring
}

// do sends a request. A body that is not a string is sent as JSON. Headers are
// given as "Name: value".
func (s *server) do(t testing.TB, method, path string, body any, headers ...string) reply {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, s.request(t, method, path, body, headers...))
	r := reply{Status: w.Code, Header: w.Header(), Raw: w.Body.String()}
	// Some answers are no objects: see Raw.
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && (strings.HasPrefix(r.Raw, "{") || !json.Valid([]byte(r.Raw))) {
		if err := json.Unmarshal(w.Body.Bytes(), &r.Body); err != nil {
			t.Fatalf("%s %s: %v in %q", method, path, err, r.Raw)
		}
	}
	return r
}

func (s *server) request(t testing.TB, method, path string, body any, headers ...string) *http.Request {
	t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	req := httptest.NewRequestWithContext(t.Context(), method, "http://c1.example:6385"+path, strings.NewReader(text))
	if s.version != "" {
		req.Header.Set(headerVersion, s.version)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return req
}

// want sends a request and fails unless the status is the expected one.
func (s *server) want(t testing.TB, status int, method, path string, body any, headers ...string) reply {
	t.Helper()
	r := s.do(t, method, path, body, headers...)
	if r.Status != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.Status, status, r.Raw)
	}
	return r
}

type object = map[string]any

// create makes a node through the interface and returns its uuid.
func (s *server) create(t testing.TB, fields object) string {
	t.Helper()
	in := object{"driver": "fake-hardware"}
	for k, v := range fields {
		in[k] = v
	}
	return s.want(t, 201, "POST", "/v1/nodes", in).Body["uuid"].(string)
}

// edit changes a node behind the interface's back, as other parts of the
// conductor do.
func (s *server) edit(t testing.TB, id string, change func(*node.Node)) {
	t.Helper()
	err := s.tasks.Exclusive(t.Context(), task.Request{Node: node.ID(id), Purpose: "test", NoDriver: true},
		func(_ context.Context, x *task.Exclusive) error {
			change(x.Node())
			x.SaveAtEnd()
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

// lock takes a node's lock as another conductor would.
func (s *server) lock(t testing.TB, session *lease.Session, id string, mode lease.Mode) *lease.Lock {
	t.Helper()
	l, err := session.Acquire(t.Context(), lease.Request{Name: id, Mode: mode, Purpose: "deploy", User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// names are the values of one column of a list.
func (r reply) names(list, column string) string {
	var out []string
	items, _ := r.Body[list].([]any)
	for _, i := range items {
		out = append(out, fmt.Sprint(i.(object)[column]))
	}
	return strings.Join(out, " ")
}

func newRecorder(s *server, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}
