package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// follow starts a cache and waits for its copy.
func follow(t *testing.T, s *Store, cfg CacheConfig) *Cache {
	t.Helper()
	c := NewCache(s, cfg)
	t.Cleanup(c.Close)
	for c.State().Revision == 0 {
		time.Sleep(time.Millisecond)
	}
	return c
}

// inMemory runs a test in a bubble on a cache of its own, with an etcd in memory.
// The cache's client is called "cache", the writer's "writer".
func inMemory(t *testing.T, cfg CacheConfig, run func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := leasetest.New()
		t.Cleanup(e.Close)
		w := NewStore(e.Client("writer"), "/t")
		add(t, w, &Node{Driver: "first"})
		run(t, e, follow(t, NewStore(e.Client("cache"), "/t"), cfg), w)
	})
}

// drivers are those of the listed nodes.
func drivers(p *Page[*Node]) []string {
	var all []string
	for _, n := range p.Items {
		all = append(all, n.Driver)
	}
	slices.Sort(all)
	return all
}

func wantNodes(t *testing.T, c *Cache, fromCopy bool, want ...string) *Page[*Node] {
	t.Helper()
	p, err := c.Nodes(t.Context(), ListRequest[*Node]{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, drivers(p)); diff != "" || p.Cached != fromCopy {
		t.Fatalf("from the copy: %t, want %t\n%s", p.Cached, fromCopy, diff)
	}
	return p
}

// A write that was answered is in every list that is asked for afterwards, however
// late the events come, and whoever wrote it.
func TestCacheShowsEachAnsweredWrite(t *testing.T) {
	for _, tt := range []struct {
		name     string
		watch    leasetest.Fate // of what the watch brings, from now on
		fromCopy bool
		within   time.Duration
	}{
		{"at once", leasetest.Fate{}, true, 0},
		{"late", leasetest.Fate{Delay: 700 * time.Millisecond}, true, 700 * time.Millisecond},
		{"later than a list waits", leasetest.Fate{Delay: time.Minute}, false, time.Second},
		{"never", leasetest.Fate{Lost: true}, false, time.Second},
		{"broken", leasetest.Fate{Err: leasetest.ErrUnavailable}, false, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, CacheConfig{}, func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
				wantNodes(t, c, true, "first")
				e.SetNetwork("cache", leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate {
					if call.Method == "Watch" {
						return tt.watch
					}
					return leasetest.Fate{}
				}})
				add(t, w, &Node{Driver: "second"})
				start := time.Now()
				p := wantNodes(t, c, tt.fromCopy, "first", "second")
				if took := time.Since(start); took > tt.within {
					t.Errorf("took %s, want at most %s", took, tt.within)
				}
				if p.AsOf.Before(start) {
					t.Errorf("true as of %s before the list was asked for", start.Sub(p.AsOf))
				}
				e.SetNetwork("cache", leasetest.Network{})
				e.Break("cache")
				time.Sleep(2 * time.Minute) // what was on the wire has landed
				add(t, w, &Node{Driver: "third"})
				wantNodes(t, c, true, "first", "second", "third")
			})
		})
	}
}

// While the watch is silent, lists do not wait for it one after the other.
func TestCacheDoesNotWaitAgainForASilentWatch(t *testing.T) {
	inMemory(t, CacheConfig{}, func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
		e.SetNetwork("cache", leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate {
			return leasetest.Fate{Lost: call.Method == "Watch"}
		}})
		add(t, w, &Node{Driver: "second"})
		start := time.Now()
		for range 10 {
			wantNodes(t, c, false, "first", "second")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("ten lists took %s", took)
		}
	})
}

// An answer may be as old as the request and the cache allow, and no older; it says
// how old it is.
func TestCacheAge(t *testing.T) {
	inMemory(t, CacheConfig{MaxAge: 10 * time.Second}, func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
		wantNodes(t, c, true, "first")
		proven := time.Now()
		e.Cut("cache")
		add(t, w, &Node{Driver: "second"})
		aged := func(allowed time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			p, err := c.Nodes(ctx, ListRequest[*Node]{MaxAge: allowed})
			if err == nil && (!p.Cached || !p.AsOf.Equal(proven) || len(p.Items) != 1) {
				t.Errorf("got %d nodes, cached %t, as of %s", len(p.Items), p.Cached, p.AsOf)
			}
			return err
		}
		time.Sleep(5 * time.Second)
		if err := aged(5 * time.Second); err != nil {
			t.Error(err)
		}
		if err := aged(5*time.Second - 1); !errors.Is(err, context.DeadlineExceeded) { // takes 3 s
			t.Errorf("older than asked for: got %v", err)
		}
		if err := aged(time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if err := aged(time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("older than the cache allows: got %v", err)
		}
		e.Heal("cache")
		time.Sleep(time.Second)
		wantNodes(t, c, true, "first", "second")
	})
}

// A copy is read anew when etcd has compacted away what its watch still had to
// tell, when etcd turns out to have another history, and in any case after a while.
func TestCacheReadsAnew(t *testing.T) {
	lost := leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate { return leasetest.Fate{Lost: call.Method == "Watch"} }}
	for name, miss := range map[string]func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store){
		"compaction": func(t *testing.T, e *leasetest.Etcd, _ *Cache, w *Store) {
			e.Cut("cache")
			add(t, w, &Node{Driver: "second"})
			n := add(t, w, &Node{Driver: "third"})
			commit(t, w)(w.keys.DeleteNode(&Records{Node: n, Revision: n.Revision}))
			if _, err := w.client.Compact(t.Context(), e.Revision()); err != nil {
				t.Fatal(err)
			}
			e.Heal("cache")
			time.Sleep(time.Second)
		},
		"a restored etcd, at a lower revision": func(t *testing.T, _ *leasetest.Etcd, c *Cache, w *Store) {
			c.mu.Lock()
			c.rev += 1000
			c.mu.Unlock()
			add(t, w, &Node{Driver: "second"})
			wantNodes(t, c, false, "first", "second")
			time.Sleep(time.Second)
		},
		"a restored etcd, at a higher revision": func(t *testing.T, _ *leasetest.Etcd, c *Cache, w *Store) {
			c.mu.Lock()
			c.cluster++
			c.mu.Unlock()
			add(t, w, &Node{Driver: "second"})
			wantNodes(t, c, false, "first", "second")
			time.Sleep(time.Second)
		},
		"an event that etcd forgot": func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
			e.SetNetwork("cache", lost)
			add(t, w, &Node{Driver: "second"})
			synctest.Wait()
			e.SetNetwork("cache", leasetest.Network{})
			wantNodes(t, c, true, "first") // there is no way to know
			time.Sleep(2 * reread)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, CacheConfig{}, func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
				before := c.State().Resets
				miss(t, e, c, w)
				wantNodes(t, c, true, "first", "second")
				if got := c.State(); got.Resets == before || got.Records < 2 {
					t.Errorf("not read anew: %+v", got)
				}
			})
		})
	}
}

// A page from the copy is the page from etcd, whatever is asked for.
func TestCachePages(t *testing.T) {
	s := newStore(t)
	var ids []ID
	for i := range 7 {
		n := add(t, s, &Node{Name: fmt.Sprint("n", i), Driver: "d"})
		ids = append(ids, n.UUID)
		for p := range i {
			add(t, s, &Port{NodeUUID: n.UUID, Address: mac(10*i + p)})
		}
	}
	for _, key := range []string{s.keys.Node("broken"), s.keys.Node("x") + "/y", s.keys.child(KindPort, ids[3], "broken")} {
		if _, err := client.Put(t.Context(), key, "{"); err != nil {
			t.Fatal(err)
		}
	}
	c := follow(t, s, CacheConfig{})
	odd := func(p *Port) bool { return p.Address[len(p.Address)-1]%2 == 1 }
	markers := []string{"", string(ids[2]), uuid.NewString()}
	all, err := s.Ports(t.Context(), ListRequest[*Port]{})
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, 3, 7, 100} {
		for _, marker := range markers {
			samePage(t, s.Nodes, c.Nodes, ListRequest[*Node]{Limit: limit, Marker: marker})
		}
		for _, owner := range append(ids, "", "missing") {
			for _, marker := range []string{"", all.Items[5].UUID, uuid.NewString()} {
				samePage(t, s.Ports, c.Ports, ListRequest[*Port]{Node: owner, Limit: limit, Marker: marker})
				samePage(t, s.Ports, c.Ports, ListRequest[*Port]{Node: owner, Limit: limit, Marker: marker, Match: odd})
			}
		}
	}
}

func samePage[R Record](t *testing.T, stored, copied func(context.Context, ListRequest[R]) (*Page[R], error), q ListRequest[R]) {
	t.Helper()
	want, err := stored(t.Context(), q)
	got, copyErr := copied(t.Context(), q)
	if (err == nil) != (copyErr == nil) || errors.Is(err, ErrNotFound) != errors.Is(copyErr, ErrNotFound) {
		t.Fatalf("%+v: %v, want %v", q, copyErr, err)
	}
	if err != nil {
		return
	}
	if !got.Cached || got.Next != want.Next || fmt.Sprint(got.Corrupt) != fmt.Sprint(want.Corrupt) {
		t.Errorf("%+v: got %+v, want %+v", q, got, want)
	}
	if diff := cmp.Diff(want.Items, got.Items); diff != "" {
		t.Errorf("%+v: %s", q, diff)
	}
}
