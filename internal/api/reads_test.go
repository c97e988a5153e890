package api

import (
	"context"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// wildcards are names that exist for the wildcards of paths; by the part before
// them where that decides.
var wildcards = map[string]string{
	"{node}": idA, "{portgroup}": groupA, "{host}": "c1.example", "{driver}": "fake-hardware",
	"ports/{ref}": portA, "portgroups/{ref}": groupA, "connectors/{ref}": connA, "targets/{ref}": targetA,
}

// queries are what some paths cannot do without.
var queries = map[string]string{"/v1/nodes/validate": "?node=" + idA, "/v1/lookup": "?node_uuid=" + idA}

var wildcard = regexp.MustCompile(`([^/]+/)?(\{[^}]+\})`)

// readable are the paths of all routes that read, with names that exist where a
// test knows of them.
func readable(a *api) []string {
	var paths []string
	for _, pattern := range slices.Sorted(maps.Keys(a.since)) {
		path, ok := strings.CutPrefix(pattern, "GET ")
		if !ok || strings.HasSuffix(path, "/vendor_passthru/{method}") { // what that does is up to the driver
			continue
		}
		path = strings.TrimSuffix(path, "{$}")
		paths = append(paths, wildcard.ReplaceAllStringFunc(path, func(found string) string {
			if name, ok := wildcards[found]; ok {
				before, _, _ := strings.Cut(found, "/")
				return before + "/" + name
			}
			at := strings.Index(found, "{")
			if name, ok := wildcards[found[at:]]; ok {
				return found[:at] + name
			}
			return found[:at] + "x"
		}))
	}
	return paths
}

// TestReadsTakeNoLock asks every route that reads, on a free node and on one that
// is locked: etcd gets no write, the answers are the same, and no time passes.
func TestReadsTakeNoLock(t *testing.T) {
	inBubble(t, func(t *testing.T, s *server) {
		s.family(t)
		s.edit(t, idA, func(n *node.Node) { n.ProvisionState, n.PowerState = node.StateActive, node.PowerOn })
		cfg := s.config(s.session)
		cfg.Registry = prometheus.NewRegistry()
		a, err := build(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Handler = a.door()
		paths := readable(a)
		if len(paths) < 60 {
			t.Errorf("only %d routes read: %v", len(paths), paths)
		}
		time.Sleep(time.Minute) // until the session's own affairs are settled
		ask := func() map[string]int {
			got := map[string]int{}
			for _, path := range paths {
				entries, start := s.etcd.RaftEntries(), time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // those that go on until the client has enough
				req := s.request(t, "GET", path+queries[path], nil).WithContext(ctx)
				w := httptest.NewRecorder()
				s.ServeHTTP(w, req)
				cancel()
				if n := s.etcd.RaftEntries() - entries; n != 0 {
					t.Errorf("GET %s has written %d times", path, n)
				}
				if took := time.Since(start); took > time.Millisecond {
					t.Errorf("GET %s took %s", path, took)
				}
				got[path] = w.Code
			}
			return got
		}
		free := ask()
		s.lock(t, s.open(t, "c2.example"), idA, lease.Exclusive)
		locked := ask()
		answered := 0
		for path, status := range free {
			if locked[path] != status {
				t.Errorf("GET %s: status %d of a locked node, %d of a free one", path, locked[path], status)
			}
			if status >= 500 {
				t.Errorf("GET %s: status %d", path, status)
			}
			if status == 200 {
				answered++
			}
		}
		if answered < len(paths)*3/4 {
			t.Errorf("only %d of %d routes have answered with something: %v", answered, len(paths), free)
		}
	})
}
