package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// TestCacheEqualsRange changes records at random while others list: every list
// equals the range at its revision. The etcd in memory has a bad network.
func TestCacheEqualsRange(t *testing.T) {
	t.Run("etcd", func(t *testing.T) {
		s := newStore(t)
		compareRanges(t, s, follow(t, s, CacheConfig{}), 1, 300)
	})
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("in memory, seed ", seed), func(t *testing.T) {
			inMemory(t, CacheConfig{}, func(t *testing.T, e *leasetest.Etcd, c *Cache, w *Store) {
				var mu sync.Mutex
				rnd := rand.New(rand.NewPCG(seed, 1))
				e.SetNetwork("cache", leasetest.Network{Answer: func(call leasetest.Call) leasetest.Fate {
					mu.Lock()
					defer mu.Unlock()
					f := leasetest.Fate{Delay: time.Duration(rnd.IntN(20)) * time.Millisecond}
					if rnd.IntN(30) == 0 {
						f.Err = leasetest.ErrUnavailable
					}
					return f
				}})
				go disturb(t.Context(), e, w, rand.New(rand.NewPCG(seed, 2)))
				compareRanges(t, w, c, seed, 200)
			})
		})
	}
}

// disturb compacts, breaks and cuts until ctx ends.
func disturb(ctx context.Context, e *leasetest.Etcd, w *Store, rnd *rand.Rand) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(rnd.IntN(3000))*time.Millisecond)
		switch rnd.IntN(3) {
		case 0:
			e.Break("cache")
		case 1:
			_, _ = w.client.Compact(ctx, e.Revision())
		case 2:
			e.Cut("cache")
			pause(ctx, time.Duration(rnd.IntN(2000))*time.Millisecond)
			_, _ = w.client.Compact(ctx, e.Revision())
			e.Heal("cache")
		}
	}
}

// compareRanges writes through w while it compares what c lists.
func compareRanges(t *testing.T, w *Store, c *Cache, seed uint64, writes int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers sync.WaitGroup
	fromCopy := make([]int, 3)
	for i := range fromCopy {
		readers.Go(func() {
			for ctx.Err() == nil {
				if i%2 == 0 {
					compareRange(t, ctx, w, c.Nodes, &fromCopy[i])
				} else {
					compareRange(t, ctx, w, c.Ports, &fromCopy[i])
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range writes {
		var ops []clientv3.Op
		for _, i := range rnd.Perm(12)[:1+rnd.IntN(3)] { // several records in one revision
			ops = append(ops, anyWrite(w.keys, rnd, i))
		}
		if _, err := w.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
		pause(ctx, time.Duration(rnd.IntN(10))*time.Millisecond)
	}
	stop()
	readers.Wait()
	if slices.Min(fromCopy) == 0 {
		t.Errorf("lists from the copy: %v", fromCopy)
	}
}

// anyWrite changes, breaks or deletes the record of a number, which lies in one of
// four directories, one of which no cache knows.
func anyWrite(keys Keys, rnd *rand.Rand, i int) clientv3.Op {
	owner := ID(fmt.Sprint("n", i/4))
	var r Record
	switch i % 4 {
	case 0:
		r = &Node{UUID: owner, Driver: fmt.Sprint(rnd.Int())}
	case 1:
		r = &Port{UUID: fmt.Sprint(i), NodeUUID: owner, Address: mac(rnd.IntN(1000))}
	case 2:
		r = &VolumeTarget{UUID: fmt.Sprint(i), NodeUUID: owner, VolumeID: fmt.Sprint(rnd.Int())}
	default:
		r = &Chassis{UUID: fmt.Sprint(i), Description: fmt.Sprint(rnd.Int())}
	}
	switch rnd.IntN(8) {
	case 0:
		return clientv3.OpPut(keys.of(r), "{")
	case 1, 2:
		return clientv3.OpDelete(keys.of(r))
	}
	text, err := encode(r)
	if err != nil {
		panic(err)
	}
	return clientv3.OpPut(keys.of(r), text)
}

// compareRange lists once and compares the list with the range at its revision.
func compareRange[R Record](t *testing.T, ctx context.Context, w *Store, list func(context.Context, ListRequest[R]) (*Page[R], error), fromCopy *int) {
	before, err := w.client.Get(ctx, "x")
	if err != nil {
		return
	}
	page, err := list(ctx, ListRequest[R]{})
	if err != nil {
		return // the network was too bad
	}
	if page.Revision < before.Header.Revision {
		t.Errorf("list of revision %d, after one of %d was known", page.Revision, before.Header.Revision)
	}
	r, err := w.client.Get(ctx, w.keys.all(kindOf[R]()), clientv3.WithPrefix(), clientv3.WithRev(page.Revision))
	if err != nil {
		return // compacted meanwhile
	}
	want := &Page[R]{Items: []R{}}
	for _, kv := range r.Kvs {
		record, corrupt := w.keys.decode(kv)
		take(want, nil, record, corrupt)
	}
	if diff := cmp.Diff(want.Items, page.Items); diff != "" || len(want.Corrupt) != len(page.Corrupt) {
		t.Errorf("from the copy: %t; at revision %d: %s%v\nwant %v", page.Cached, page.Revision, diff, page.Corrupt, want.Corrupt)
	}
	if page.Cached {
		*fromCopy++
	}
}
