package events

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// world is an etcd in a bubble, with a feed and all that was written to it.
type world struct {
	*testing.T
	etcd   *leasetest.Etcd
	client *clientv3.Client
	feed   Feed

	mu   sync.Mutex
	told map[int64][]string // ids by revision
}

func bubble(t *testing.T, run func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, etcd: leasetest.New(), told: map[int64][]string{}}
		t.Cleanup(w.etcd.Close)
		w.client = w.etcd.Client("writer")
		w.feed = Feed{Client: w.etcd.Client("reader"), Keys: node.Keys{Root: lease.DefaultRoot}}
		run(w)
	})
}

// write stores events of one revision, and returns it.
func (w *world) write(kind string, ids ...node.ID) int64 {
	w.Helper()
	var ops []clientv3.Op
	var told []string
	for _, id := range ids {
		e := uuid.Must(uuid.NewV7()).String()
		told = append(told, e)
		value := fmt.Sprintf(`{"id":%q,"type":%q,"node":%q}`, e, kind, id)
		ops = append(ops, clientv3.OpPut(w.feed.Keys.Events(id)+e, value))
	}
	r, err := w.client.Txn(context.Background()).Then(ops...).Commit()
	if err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[r.Header.Revision] = told
	return r.Header.Revision
}

// after is what was written after a revision, as reading should tell it.
func (w *world) after(since int64) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var revisions []int64
	for r := range w.told {
		if r > since {
			revisions = append(revisions, r)
		}
	}
	slices.Sort(revisions)
	var all []string
	for _, r := range revisions {
		all = append(all, fmt.Sprintf("%d: %s", r, strings.Join(w.told[r], " ")))
	}
	return all
}

func line(b Batch) string {
	var ids []string
	for _, e := range b.Events {
		ids = append(ids, e.ID)
	}
	return fmt.Sprintf("%d: %s", b.Revision, strings.Join(ids, " "))
}

const (
	idA = node.ID("0a0a0a0a-0000-4000-8000-000000000001")
	idB = node.ID("0b0b0b0b-0000-4000-8000-000000000002")
)

// A reader that leaves after any number of batches and comes back, while others write and etcd is
// compacted, sees each revision once, whole and in order. It may come back at any time, even long
// after, and the connection may break.
func TestFollowResumesAnywhere(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 10
	}
	for range seeds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { bubble(t, func(w *world) { testResume(w, seed) }) })
	}
}

func testResume(w *world, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	w.feed.window = 20 + r.IntN(40)
	n := 50 + r.IntN(150)
	if delay := time.Duration(r.IntN(3)) * 50 * time.Millisecond; delay > 0 { // others write between two reads
		w.etcd.SetNetwork("reader", leasetest.Network{Answer: func(leasetest.Call) leasetest.Fate { return leasetest.Fate{Delay: delay} }})
	}
	start := int64(0)
	if r.IntN(3) == 0 { // not from the beginning
		for range r.IntN(50) {
			start = w.write("x", idA)
		}
	}
	var writers sync.WaitGroup
	for i := range 2 {
		random := rand.New(rand.NewPCG(seed, uint64(i+2)))
		writers.Go(func() {
			for range n {
				time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
				if random.IntN(10) == 0 { // what is no event is not told
					_, _ = w.client.Put(w.Context(), w.feed.Keys.Events(idA)+"garbage", "}{")
					_, _ = w.client.Put(w.Context(), lease.DefaultRoot+"nodes/x", "")
				}
				w.write("x", []node.ID{idA, idB, node.NoNode, idB}[:1+random.IntN(4)]...)
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	defer func() { <-written }()
	var got []string
	last, end := start, int64(0)
	for last < end || end == 0 {
		select {
		case <-written:
			if end == 0 {
				end = w.write("x", idA)
			}
		default:
		}
		ctx, cancel := context.WithCancel(w.Context())
		limit := time.Minute // when the writers are done, nothing comes
		if r.IntN(4) == 0 {
			limit = time.Duration(r.IntN(20)) * time.Second
		}
		time.AfterFunc(limit, cancel)
		left := r.IntN(30)
		for b, err := range w.feed.Follow(ctx, last, Filter{}) {
			if err != nil {
				w.Fatalf("follow: %v", err)
			}
			if b.Revision < last {
				w.Fatalf("revision %d after %d", b.Revision, last)
			}
			if last = b.Revision; len(b.Events) > 0 {
				got = append(got, line(b))
			}
			if left--; left < 0 {
				break
			}
			if r.IntN(20) == 0 {
				w.etcd.Break("reader")
			}
		}
		cancel()
		time.Sleep(time.Duration(r.IntN(5)) * time.Second)
		if now := w.etcd.Revision(); r.IntN(2) == 0 {
			_, _ = w.client.Compact(w.Context(), now-int64(r.IntN(10)))
		}
	}
	want := w.after(start)
	if !slices.Equal(got, want) {
		w.Errorf("got %d revisions, want %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				w.Fatalf("got %s, want %s", got[i], want[i])
			}
		}
	}
}

// While a watch stands, a compaction may overtake it.
func TestFollowSurvivesCompaction(t *testing.T) {
	bubble(t, func(w *world) {
		first := w.write("x", idA)
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		var got []string
		for b, err := range w.feed.Follow(ctx, first, Filter{}) {
			if err != nil {
				w.Fatal(err)
			}
			if len(b.Events) > 0 {
				got = append(got, line(b))
			} else if len(got) == 0 { // it has begun
				w.etcd.Cut("reader")
				for range 20 {
					w.write("x", idB, idA)
				}
				if _, err := w.client.Compact(w.Context(), w.etcd.Revision()); err != nil {
					w.Fatal(err)
				}
				w.etcd.Heal("reader")
			}
			if len(got) == 20 {
				break
			}
		}
		if want := w.after(first); !slices.Equal(got, want) {
			w.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestFilter(t *testing.T) {
	bubble(t, func(w *world) {
		w.write("baremetal.node.power_set.end", idA)
		w.write("baremetal.node.power_set.end", idB)
		w.write("conductor.lock.lost", idA, idB)
		gone := fmt.Sprintf(`{"id":"z","type":"baremetal.node.delete.end","node":%q}`, idA)
		if _, err := w.client.Put(w.Context(), w.feed.Keys.Events(node.NoNode)+"z", gone); err != nil {
			w.Fatal(err)
		}
		for _, tt := range []struct {
			Filter
			want int
		}{
			{Filter{}, 5},
			{Filter{Node: idA}, 3},
			{Filter{Node: idB}, 2},
			{Filter{Type: "baremetal.node"}, 3},
			{Filter{Type: "node.power_set"}, 2},
			{Filter{Type: "conductor.lock.lost"}, 2},
			{Filter{Type: "power_set"}, 0},
			{Filter{idA, "node.delete"}, 1},
			{Filter{Node: node.ID("none")}, 0},
		} {
			all, upto, more, err := w.feed.List(w.Context(), 0, 100, tt.Filter)
			n := 0
			for _, b := range all {
				n += len(b.Events)
			}
			if err != nil || more || upto != w.etcd.Revision() || n != tt.want {
				w.Errorf("%+v: %d events up to %d, more %t, %v; want %d", tt.Filter, n, upto, more, err, tt.want)
			}
			// Following says the same, from the keys and from the watch.
			ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
			followed := 0
			for b, err := range w.feed.Follow(ctx, 1, tt.Filter) {
				if err != nil {
					w.Fatal(err)
				}
				followed += len(b.Events)
			}
			cancel()
			if followed != tt.want {
				w.Errorf("%+v: followed %d events, want %d", tt.Filter, followed, tt.want)
			}
		}
	})
}

// Pages of a list fit together, whatever their size.
func TestListPages(t *testing.T) {
	bubble(t, func(w *world) {
		for i := range 100 {
			w.write("x", []node.ID{idA, idB, idA}[:1+i%3]...)
		}
		for limit := 1; limit < 220; limit = limit*2 + 1 {
			w.feed.window = limit
			var got []string
			for since, more := int64(0), true; more; {
				var all []Batch
				var err error
				all, since, more, err = w.feed.List(w.Context(), since, limit, Filter{})
				if err != nil || len(all) == 0 && more {
					w.Fatalf("limit %d: %d batches, %v", limit, len(all), err)
				}
				n := 0
				for _, b := range all {
					got = append(got, line(b))
					n += len(b.Events)
				}
				if n > limit+2 {
					w.Errorf("limit %d: a page of %d", limit, n)
				}
			}
			if want := w.after(0); !slices.Equal(got, want) {
				w.Errorf("limit %d: got %d revisions, want %d", limit, len(got), len(want))
			}
		}
	})
}

// One who does not read is left, and what waits for him is bounded; coming back he gets the rest.
func TestSlowReader(t *testing.T) {
	bubble(t, func(w *world) {
		first := w.write("x", idA)
		last, stuck := first, true
		var got []string
		var end error
		read := func(ctx context.Context) {
			for b, err := range w.feed.Follow(ctx, last, Filter{}) {
				if end = err; err != nil {
					return
				}
				if last = b.Revision; len(b.Events) > 0 {
					got = append(got, line(b))
				}
				if stuck && len(got) == 1 {
					for range queueBatches + 100 {
						w.write("x", idB)
					}
					synctest.Wait()
					stuck = false
				} else if len(got) == 0 {
					w.write("x", idA)
				}
			}
		}
		read(w.Context())
		if !errors.Is(end, ErrSlow) || len(got) != 1 {
			w.Fatalf("%d batches and then %v, want one and ErrSlow", len(got), end)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		read(ctx)
		if want := w.after(first); !slices.Equal(got, want) || end != nil {
			w.Errorf("got %d revisions and %v, want %d", len(got), end, len(want))
		}
	})
}

func TestFuture(t *testing.T) {
	bubble(t, func(w *world) {
		now := w.write("x", idA)
		if err := w.feed.Begin(w.Context(), now); err != nil {
			w.Error(err)
		}
		if err := w.feed.Begin(w.Context(), now+1); !errors.Is(err, ErrFuture) {
			w.Errorf("got %v, want ErrFuture", err)
		}
		for _, err := range w.feed.Follow(w.Context(), now+1, Filter{}) {
			if !errors.Is(err, ErrFuture) {
				w.Errorf("got %v, want ErrFuture", err)
			}
		}
	})
}

func TestDecode(t *testing.T) {
	for value, want := range map[string]string{
		`{"id":"1","type":"a.b", "more" : [1, 2]}`: `{"id":"1","type":"a.b","more":[1,2]}`,
		"{\"id\":\"1\",\n\"type\":\"a\"}":          `{"id":"1","type":"a"}`,
		`{"id":"1","type":"a\nid: 7"}`:             "",
		`{"id":"","type":"a"}`:                     "",
		`{"id":"1"}`:                               "",
		`[]`:                                       "",
		`{}`:                                       "",
		"":                                         "",
	} {
		if e, ok := decode([]byte(value)); ok != (want != "") || string(e.JSON) != want {
			t.Errorf("%q: got %q, %t, want %q", value, e.JSON, ok, want)
		}
	}
}
