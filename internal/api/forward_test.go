package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/internal/cluster"
	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// wires carry requests between conductors, as a network would.
type wires struct {
	peers   map[string]http.Handler
	down    map[string]bool // refuses connections
	silent  map[string]bool // takes requests and does not answer
	carried []string
}

func (w *wires) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.down[r.URL.Host] {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	w.carried = append(w.carried, r.URL.Host)
	if w.silent[r.URL.Host] {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	rec := httptest.NewRecorder()
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1234"
	w.peers[r.URL.Host].ServeHTTP(rec, r)
	return rec.Result(), nil
}

// pair is two conductors on one etcd and one fleet. Requests go to c1.
type pair struct {
	*server
	wires  *wires
	c2     *lease.Session
	drain  bool   // c1 takes no new work
	ours   string // a node that prefers c1
	theirs string // one that prefers c2
}

func inPair(t *testing.T, run func(t *testing.T, p *pair)) {
	t.Helper()
	inBubble(t, func(t *testing.T, s *server) {
		if err := s.session.Close(t.Context()); err != nil { // c1 says where it is when it comes again
			t.Fatal(err)
		}
		p := &pair{server: s, wires: &wires{peers: map[string]http.Handler{}, down: map[string]bool{}, silent: map[string]bool{}}}
		p.c2 = p.join(t, "c2.example")
		s.session = p.join(t, "c1.example")
		s.Handler = p.wires.peers["c1.example"]
		v, err := cluster.Read(t.Context(), s.client, lease.DefaultRoot)
		if err != nil {
			t.Fatal(err)
		}
		for p.ours == "" || p.theirs == "" {
			n := &node.Node{Driver: "fake-hardware", ProvisionState: node.StateManageable}
			if err := s.store.Create(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if m, _ := v.Preferred(n); m.Host == "c1.example" {
				p.ours = string(n.UUID)
			} else {
				p.theirs = string(n.UUID)
			}
		}
		run(t, p)
	})
}

// join starts a conductor.
func (p *pair) join(t *testing.T, host string) *lease.Session {
	t.Helper()
	client := p.etcd.Client(host)
	session, err := lease.Open(t.Context(), client, lease.Config{Holder: host, Info: map[string]any{"api": "http://" + host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	tasks, err := task.NewManager(task.Config{Client: client, Sessions: session, Hardware: hardwaretest.Registry(p.bmc)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tasks.Close(context.Background()) })
	members, err := cluster.Follow(t.Context(), client, lease.DefaultRoot, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(members.Close)
	c := p.config(session)
	c.Host, c.Tasks, c.Provision, c.Registry = host, tasks, provision.New(provision.Config{Tasks: tasks}), prometheus.NewRegistry()
	c.Cluster = Cluster{Members: members, Transport: p.wires, Draining: func() bool { return host == "c1.example" && p.drain }}
	h, err := judged(t, c)
	if err != nil {
		t.Fatal(err)
	}
	p.wires.peers[host] = h
	return session
}

// workers are the conductors that have commanded a node's machine.
func (p *pair) workers(id string) string {
	var hosts []string
	for _, c := range p.bmc.Commands(node.ID(id)) {
		if c.Writes && !slices.Contains(hosts, c.Actor.Conductor) {
			hosts = append(hosts, c.Actor.Conductor)
		}
	}
	return strings.Join(hosts, " ")
}

// A request is worked on by the conductor that the node prefers, and by another
// if that one cannot be reached, is gone, or takes no new work.
func TestForward(t *testing.T) {
	const c1, c2 = "c1.example", "c2.example"
	tests := []struct {
		name    string
		theirs  bool // the node prefers c2
		before  func(t *testing.T, p *pair)
		status  int
		kind    string
		workers string
		carried int
	}{
		{"our own", false, nil, 202, "", c1, 0},
		{"another's", true, nil, 202, "", c2, 1},
		{"cannot be reached", true, func(_ *testing.T, p *pair) { p.wires.down[c2] = true }, 202, "", c1, 0},
		{"gone", true, func(t *testing.T, p *pair) {
			if err := p.c2.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 202, "", c1, 0},
		{"draining", true, func(t *testing.T, p *pair) {
			if err := p.c2.SetState(t.Context(), cluster.Draining); err != nil {
				t.Fatal(err)
			}
		}, 202, "", c1, 0},
		{"we drain", false, func(t *testing.T, p *pair) {
			p.drain = true
			if err := p.session.SetState(t.Context(), cluster.Draining); err != nil {
				t.Fatal(err)
			}
		}, 202, "", c2, 1},
		{"all drain", false, func(t *testing.T, p *pair) {
			p.drain = true
			if err := errors.Join(p.session.SetState(t.Context(), cluster.Draining), p.c2.SetState(t.Context(), cluster.Draining)); err != nil {
				t.Fatal(err)
			}
		}, 503, "draining", "", 0},
		{"we drain, the other cannot be reached", false, func(t *testing.T, p *pair) {
			p.drain, p.wires.down[c2] = true, true
			if err := p.session.SetState(t.Context(), cluster.Draining); err != nil {
				t.Fatal(err)
			}
		}, 503, "draining", "", 0},
		{"silent", true, func(_ *testing.T, p *pair) { p.wires.silent[c2] = true }, 504, "unanswered", "", 1},
		{"dies with the request", true, func(_ *testing.T, p *pair) {
			p.wires.silent[c2] = true
			p.etcd.Cut(c2)
		}, 504, "unanswered", "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inPair(t, func(t *testing.T, p *pair) {
				id := p.ours
				if tt.theirs {
					id = p.theirs
				}
				if tt.before != nil {
					tt.before(t, p)
				}
				synctest.Wait()
				r := p.want(t, tt.status, http.MethodPut, "/v1/nodes/"+id+"/states/power", object{"target": "power on"})
				if kind, _ := r.Body["kind"].(string); kind != tt.kind {
					t.Errorf("kind %q, want %q", kind, tt.kind)
				}
				time.Sleep(time.Minute)
				if got := p.workers(id); got != tt.workers || len(p.wires.carried) != tt.carried {
					t.Errorf("worked on by %q after %v, want %q", got, p.wires.carried, tt.workers)
				}
			})
		})
	}
}

// Vendor methods are work like any other, with GET too.
func TestForwardVendorMethods(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		for _, method := range []string{"GET", "POST"} { // neither takes it, but the one that says so is asked
			p.want(t, 400, method, "/v1/nodes/"+p.theirs+"/vendor_passthru/second_method", nil)
		}
		if n := len(p.wires.carried); n != 2 {
			t.Errorf("%d of 2 requests were handed on: %v", n, p.wires.carried)
		}
	})
}

// A node says which conductor it prefers, and a list can be of those of one.
func TestConductorOfNode(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		for id, host := range map[string]string{p.ours: "c1.example", p.theirs: "c2.example"} {
			if got := p.want(t, http.StatusOK, http.MethodGet, "/v1/nodes/"+id, nil).Body["conductor"]; got != host {
				t.Errorf("conductor of %s is %v, want %s", id, got, host)
			}
			if got := p.want(t, http.StatusOK, http.MethodGet, "/v1/nodes?conductor="+host, nil).names("nodes", "uuid"); !strings.Contains(got, id) {
				t.Errorf("nodes of %s: %s, want %s among them", host, got, id)
			}
		}
	})
}

// A request is handed on once, with its id and its body; what only reads is not.
func TestForwardOnce(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.want(t, http.StatusOK, http.MethodGet, "/v1/nodes/"+p.theirs, nil)
		p.want(t, http.StatusAccepted, http.MethodPut, "/v1/nodes/"+p.theirs+"/states/power", object{"target": "power on"}, headerForwarded+": c3.example")
		p.drain = true
		p.want(t, http.StatusServiceUnavailable, http.MethodPut, "/v1/nodes/"+p.theirs+"/states/power", object{"target": "power on"}, headerForwarded+": c3.example")
		p.drain = false
		if len(p.wires.carried) > 0 {
			t.Errorf("handed on: %v", p.wires.carried)
		}
		time.Sleep(time.Minute)
		r := p.want(t, http.StatusBadRequest, http.MethodPut, "/v1/nodes/"+p.theirs+"/states/power", object{"target": "sideways"}, headerRequestID+": my-request")
		if len(p.wires.carried) != 1 || r.Header.Get(headerRequestID) != "my-request" || !strings.Contains(r.fault(), "sideways") {
			t.Errorf("%v, %v, %s", p.wires.carried, r.Header, r.Raw)
		}
		r = p.want(t, http.StatusRequestEntityTooLarge, http.MethodPut, "/v1/nodes/"+p.theirs+"/maintenance", object{"reason": strings.Repeat("x", maxBody)})
		if len(p.wires.carried) != 1 {
			t.Errorf("a body that is too long was handed on: %s", r.Raw)
		}
	})
}

// patientWriter remembers how long the client may take to send its body.
type patientWriter struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (w *patientWriter) SetReadDeadline(until time.Time) error {
	w.until = append(w.until, until)
	return nil
}

// A client has no longer for its body because the request is to be handed on, and
// the limit is gone when the body is there.
func TestForwardBoundsTheBody(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		w := &patientWriter{ResponseRecorder: httptest.NewRecorder()}
		p.ServeHTTP(w, p.request(t, http.MethodPut, "/v1/nodes/"+p.theirs+"/maintenance", object{"reason": "fan"}))
		if w.Code != http.StatusAccepted || len(p.wires.carried) != 1 {
			t.Fatalf("%d %s, carried %v", w.Code, w.Body, p.wires.carried)
		}
		if len(w.until) != 2 || !w.until[0].Equal(time.Now().Add(bodyTimeout)) || !w.until[1].IsZero() {
			t.Errorf("deadlines %v, want one in %s and then none", w.until, bodyTimeout)
		}
	})
}

// Who has shown a certificate is called by its name by the next conductor too,
// even if the request also bears a password, which nobody has looked at.
func TestForwardNamesTheUser(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		r := p.request(t, http.MethodPut, "/v1/nodes/"+p.theirs+"/maintenance", nil, headerUser+": mallory")
		r.SetBasicAuth("bob", "wrong")
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: "alice"}}}}}
		var named []string
		c2 := p.wires.peers["c2.example"]
		p.wires.peers["c2.example"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			named = r.Header.Values(headerUser)
			c2.ServeHTTP(w, r)
		})
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted || !slices.Equal(named, []string{"alice"}) {
			t.Errorf("%d %s, handed on in the name of %q", w.Code, w.Body, named)
		}
	})
}
