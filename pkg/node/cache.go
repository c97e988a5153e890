package node

import (
	"context"
	"errors"
	"sync"
	"time"
)

// CacheConfig describes a Cache.
type CacheConfig struct {
	MaxAge   time.Duration // the oldest answer there may be, whatever a request allows; 0: 5 s; negative: each is as of now
	Patience time.Duration // how long a list waits for the copy before it reads etcd; 0: 1 s
}

// Cache is a copy of the records of all nodes, and of what belongs to them, that
// one watch of etcd keeps up to date. Lists that a client only looks at come from
// there. What decides something is read from etcd, by a Store.
//
// A list is as true as one from etcd: it asks the quorum for the present revision,
// which brings no data, and waits until the copy has come to it. So it shows every
// write that was answered before the list was asked for, whoever made it. One that
// allows an age (ListRequest.MaxAge) takes the copy as it is if that was proven to
// be true no longer ago. When the copy cannot be proven in time, the records are
// read from etcd.
//
// The records are shared by all who list them: they must not be changed.
type Cache struct {
	store *Store
	cfg   CacheConfig
	stop  context.CancelFunc
	wg    sync.WaitGroup
	again chan struct{} // asks for a new watch

	mu      sync.RWMutex
	shelves map[Kind]*shelf // nil: there is no copy yet, or no more
	rev     int64           // every event up to here is in the copy
	cluster uint64          // whose history that is
	proven  time.Time       // when the copy was last known to be true
	stalled bool            // the watch was waited for in vain
	moved   chan struct{}   // closed with the next change of what is above; nil: nobody waits
	resets  int64
}

// NewCache begins to follow the records of a store, until Close. It does not wait
// for the copy.
func NewCache(s *Store, c CacheConfig) *Cache {
	if c.MaxAge == 0 {
		c.MaxAge = 5 * time.Second
	}
	if c.Patience == 0 {
		c.Patience = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Cache{store: s, cfg: c, stop: stop, again: make(chan struct{}, 1)}
	m.wg.Go(func() { m.follow(ctx) })
	return m
}

// Close ends the following. Lists are read from etcd from then on.
func (c *Cache) Close() {
	c.stop()
	c.wg.Wait()
	c.forget()
}

// CacheState is how a Cache stands.
type CacheState struct {
	Records  int       // in the copy
	Revision int64     // of the copy; 0: there is none
	Proven   time.Time // when it was last known to be true
	Resets   int64     // how often it was read anew, the first time included
}

// State tells how the cache stands.
func (c *Cache) State() CacheState {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := CacheState{Revision: c.rev, Proven: c.proven, Resets: c.resets}
	for _, shelf := range c.shelves {
		s.Records += len(shelf.items)
	}
	return s
}

// Nodes lists nodes as Store.Nodes does.
func (c *Cache) Nodes(ctx context.Context, q ListRequest[*Node]) (*Page[*Node], error) {
	return cached(ctx, c, q)
}

// Ports lists ports as Store.Ports does.
func (c *Cache) Ports(ctx context.Context, q ListRequest[*Port]) (*Page[*Port], error) {
	return cached(ctx, c, q)
}

// Portgroups lists portgroups as Store.Portgroups does.
func (c *Cache) Portgroups(ctx context.Context, q ListRequest[*Portgroup]) (*Page[*Portgroup], error) {
	return cached(ctx, c, q)
}

// VolumeConnectors lists volume connectors as Store.VolumeConnectors does.
func (c *Cache) VolumeConnectors(ctx context.Context, q ListRequest[*VolumeConnector]) (*Page[*VolumeConnector], error) {
	return cached(ctx, c, q)
}

// VolumeTargets lists volume targets as Store.VolumeTargets does.
func (c *Cache) VolumeTargets(ctx context.Context, q ListRequest[*VolumeTarget]) (*Page[*VolumeTarget], error) {
	return cached(ctx, c, q)
}

// cached lists from the copy if that can be proven to be young enough, and from
// etcd if not.
func cached[R Record](ctx context.Context, c *Cache, q ListRequest[R]) (*Page[R], error) {
	if c.prove(ctx, min(q.MaxAge, c.cfg.MaxAge)) {
		if page, ok, err := pageOf(c, q); ok {
			return page, err
		}
	}
	return list(ctx, c.store, q)
}

// prove makes sure that the copy is no older than it may be. False: that cannot
// be said.
func (c *Cache) prove(ctx context.Context, maxAge time.Duration) bool {
	c.mu.RLock()
	usable, before, cluster, proven := c.shelves != nil && !c.stalled, c.rev, c.cluster, c.proven
	c.mu.RUnlock()
	if !usable {
		return false
	}
	if maxAge > 0 && time.Since(proven) <= maxAge {
		return true
	}
	asked := time.Now()
	now, of, err := c.present(ctx)
	if err != nil {
		return false
	}
	if of != cluster || now < before { // etcd was restored from a backup
		c.forget()
		c.restart()
		return false
	}
	if !c.reach(ctx, now) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked.After(c.proven) {
		c.proven = asked
	}
	return true
}

// present asks the quorum for the revision of the store, by a key that there is not.
func (c *Cache) present(ctx context.Context) (rev int64, cluster uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	r, err := c.store.client.Get(ctx, c.store.keys.all(KindNode))
	if err != nil {
		return 0, 0, err
	}
	return r.Header.Revision, r.Header.ClusterId, nil
}

// reach waits until the copy has come to a revision. Etcd is asked how far the
// watch is, again when the member that serves it lags behind.
func (c *Cache) reach(ctx context.Context, rev int64) bool {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	pause := 5 * time.Millisecond
	ask := time.NewTimer(0)
	defer ask.Stop()
	for {
		moved, there, lost := c.standing(rev)
		if there || lost {
			return there
		}
		select {
		case <-moved:
		case <-ask.C:
			_ = c.store.client.RequestProgress(ownStream(ctx)) // no answer is waited for
			ask.Reset(pause)
			pause = min(2*pause, 200*time.Millisecond)
		case <-ctx.Done():
			c.stall(ctx)
			return false
		}
	}
}

// standing says whether the copy has come to a revision, or is no more, and
// returns a channel that is closed when it moves.
func (c *Cache) standing(rev int64) (moved <-chan struct{}, there, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shelves == nil || c.rev >= rev {
		return nil, c.shelves != nil, c.shelves == nil
	}
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved, false, false
}

// stall keeps others from waiting for a watch that says nothing, and opens a new
// one; not when it is only the client who is gone.
func (c *Cache) stall(ctx context.Context) {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return
	}
	c.mu.Lock()
	c.stalled = true
	c.mu.Unlock()
	c.restart()
}
