package api

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Who has got an answer to a write, sees it in each list, also in that of another
// conductor whose watch is late.
func TestListsShowWhatWasAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		other := newOther(t, s, "c2")
		s.etcd.SetNetwork("c2", leasetest.Network{Answer: func(c leasetest.Call) leasetest.Fate {
			if c.Method == "Watch" {
				return leasetest.Fate{Delay: 300 * time.Millisecond}
			}
			return leasetest.Fate{}
		}})
		id := s.create(t, object{"name": "n1"})
		r := other.want(t, 200, "GET", "/v1/nodes", nil)
		if got := r.names("nodes", "uuid"); got != id {
			t.Errorf("after create: %q", got)
		}
		s.want(t, 201, "POST", "/v1/ports", object{"node_uuid": id, "address": "52:54:00:00:00:01"})
		if got := other.want(t, 200, "GET", "/v1/ports", nil).names("ports", "address"); got != "52:54:00:00:00:01" {
			t.Errorf("after create: %q", got)
		}
		l := s.lock(t, s.session, id, lease.Exclusive)
		if got := other.want(t, 200, "GET", "/v1/nodes?fields=reservation", nil).names("nodes", "reservation"); got != "c1.example" {
			t.Errorf("reserved by %q", got)
		}
		if r := other.want(t, 200, "GET", "/v1/locks", nil); !strings.Contains(r.Raw, id) {
			t.Errorf("locks: %s", r.Raw)
		}
		if err := l.Release(t.Context(), lease.Write{}); err != nil {
			t.Fatal(err)
		}
		if r := other.want(t, 200, "GET", "/v1/locks", nil); strings.Contains(r.Raw, id) {
			t.Errorf("locks: %s", r.Raw)
		}
		s.want(t, 204, "DELETE", "/v1/nodes/"+id, nil)
		if got := other.want(t, 200, "GET", "/v1/nodes", nil).names("nodes", "uuid"); got != "" {
			t.Errorf("after delete: %q", got)
		}
		if testutil.ToFloat64(other.api.metrics.lists.WithLabelValues("cache")) < 4 {
			t.Error("the lists were not read from the copy")
		}
	})
}

// newOther is another conductor with a network of its own to the same etcd.
func newOther(t *testing.T, s *server, name string) *server {
	t.Helper()
	o := *s
	o.client, o.reg = s.etcd.Client(name), prometheus.NewRegistry()
	o.store = node.NewStore(o.client, lease.DefaultRoot)
	o.lists = node.NewCache(o.store, node.CacheConfig{})
	t.Cleanup(o.lists.Close)
	synctest.Wait() // the copy is there
	o.session = o.open(t, name+".example")
	var err error
	if o.api, err = build(o.config(o.session)); err != nil {
		t.Fatal(err)
	}
	o.Handler = newJudge(t, o.api)
	return &o
}

// A list says how old it is. It is as of now, unless the client takes an older one,
// which is never older than the service allows.
func TestListsTellTheirAge(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		other := newOther(t, s, "c2")
		s.create(t, object{"name": "n1"})
		ask := func(headers ...string) (r reply, age time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			w := newRecorder(other, other.request(t, "GET", "/v1/nodes", nil, headers...).WithContext(ctx))
			seconds, _ := strconv.ParseFloat(w.Header().Get(headerAge), 64)
			return reply{Status: w.Code, Header: w.Header(), Raw: w.Body.String()}, time.Duration(seconds * float64(time.Second))
		}
		now, age := ask()
		if now.Status != 200 || age != 0 || now.Header.Get(headerRevision) != strconv.FormatInt(s.etcd.Revision(), 10) {
			t.Fatalf("as of now: %d %v", now.Status, now.Header)
		}
		s.etcd.Cut("c2")
		time.Sleep(3 * time.Second)
		for _, tt := range []struct {
			header string
			status int
			age    time.Duration
		}{
			{"Cache-Control: max-age=3", 200, 3 * time.Second},
			{"Cache-Control: no-transform, Max-Age=\"60\"", 200, 3 * time.Second},
			{"Cache-Control: max-age=2", 503, 0},
			{"Cache-Control: max-age=soon", 503, 0},
			{"Cache-Control: no-cache", 503, 0},
			{"Cache-Control: max-age=3600", 503, 0}, // 6 s have gone by
		} {
			r, age := ask(tt.header)
			if r.Status != tt.status || age != tt.age {
				t.Errorf("%s: status %d, age %s, want %d, %s", tt.header, r.Status, age, tt.status, tt.age)
			}
			if r.Status == 200 && r.Header.Get(headerRevision) != now.Header.Get(headerRevision) {
				t.Errorf("%s: revision %s", tt.header, r.Header.Get(headerRevision))
			}
		}
		s.etcd.Heal("c2")
	})
}
