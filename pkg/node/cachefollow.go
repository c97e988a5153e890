package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

// ownStream puts a watch into a stream of its own: etcd answers how far a stream
// has come only if none of its watches lags behind.
func ownStream(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader, "conductor-watch", "cache"))
}

// reread is how long a copy is relied upon: a new one finds what no event told of.
const reread = 30 * time.Minute

var errReread = errors.New("the copy is to be read anew")

// follow keeps the copy up to date until ctx ends. Whatever ends a watch, the
// next one goes on where it was; if etcd has forgotten that, all is read anew.
func (c *Cache) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.run(ctx); errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, errReread) {
			c.forget()
			continue
		}
		pause(ctx, retryWatch)
	}
}

// run lists if it must, then follows one stream of etcd until it breaks.
func (c *Cache) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ownStream(ctx))
	defer cancel()
	next, err := c.begin(ctx)
	if err != nil {
		return err
	}
	enough := time.NewTimer(reread - reread/4 + rand.N(reread/2)) // not all conductors at once
	defer enough.Stop()
	from, end := c.store.keys.span()
	stream := c.store.client.Watch(ctx, from, clientv3.WithRange(end), clientv3.WithRev(next), clientv3.WithCreatedNotify())
	for {
		select {
		case <-enough.C:
			return errReread
		case resp, ok := <-stream:
			if !ok {
				return nil
			}
			if err := resp.Err(); err != nil {
				return err
			}
			c.take(resp)
		case <-c.again:
			return nil
		}
	}
}

// begin answers the first revision that is not in the copy, which it reads if
// there is none.
func (c *Cache) begin(ctx context.Context) (next int64, err error) {
	c.mu.RLock()
	rev := c.rev
	c.mu.RUnlock()
	if rev > 0 {
		return rev + 1, nil
	}
	shelves := newShelves()
	from, end := c.store.keys.span()
	for {
		r, err := c.store.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(batch), clientv3.WithRev(rev))
		if err != nil {
			return 0, err
		}
		if rev == 0 {
			rev = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			if kind, ok := c.store.keys.shelf(string(kv.Key)); ok {
				shelves[kind].items = append(shelves[kind].items, c.store.keys.hold(kv)) // they come in order
			}
		}
		if !r.More {
			c.install(shelves, rev, r.Header.ClusterId)
			return rev + 1, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

func (c *Cache) install(shelves map[Kind]*shelf, rev int64, cluster uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shelves, c.rev, c.cluster, c.stalled = shelves, rev, cluster, false
	c.resets++
	c.wake()
}

// take brings one response of the watch into the copy. It holds all events of the
// revisions that it tells of; only one without events says by its header how far
// the watch has come.
func (c *Cache) take(resp clientv3.WatchResponse) {
	type change struct {
		kind Kind
		item *held
		gone bool
	}
	var changes []change
	for _, e := range resp.Events {
		if kind, ok := c.store.keys.shelf(string(e.Kv.Key)); ok && e.Type == clientv3.EventTypeDelete {
			changes = append(changes, change{kind, &held{key: string(e.Kv.Key)}, true})
		} else if ok {
			changes = append(changes, change{kind, c.store.keys.hold(e.Kv), false})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shelves == nil {
		return // forgotten meanwhile
	}
	for _, ch := range changes {
		if ch.gone {
			c.shelves[ch.kind].remove(ch.item.key)
		} else {
			c.shelves[ch.kind].put(ch.item)
		}
	}
	if n := len(resp.Events); n > 0 {
		c.rev = max(c.rev, resp.Events[n-1].Kv.ModRevision)
	} else if resp.IsProgressNotify() {
		c.rev = max(c.rev, resp.Header.Revision)
	}
	c.stalled = false
	c.wake()
}

// forget drops the copy.
func (c *Cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shelves, c.rev, c.proven = nil, 0, time.Time{}
	c.wake()
}

// restart ends the present watch, after which a new one begins.
func (c *Cache) restart() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// wake tells those who wait that something has changed. The caller holds mu.
func (c *Cache) wake() {
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// hold reads a record for the copy.
func (k Keys) hold(kv *mvccpb.KeyValue) *held {
	r, corrupt := k.decode(kv)
	return &held{key: string(kv.Key), record: r, corrupt: corrupt}
}
