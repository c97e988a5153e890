package leasetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// etcd's rules for leases, with the default election timeout of one second.
const (
	minTTL         = 2          // seconds; shorter grants are rounded up
	maxTTL         = 9000000000 // seconds
	expiryInterval = 500 * time.Millisecond
	expiriesAtOnce = 500 // of a rate of 1000 a second
)

// lease is a grant and the keys that die with it.
type lease struct {
	id      int64
	ttl     int64 // seconds
	expires time.Time
	keys    map[string]bool
	changed chan struct{} // closed when the lease is revoked or refreshed by a new leader
}

// refresh gives the lease its full time and more, and wakes the renewals
// that wait to hear whether it is over.
func (l *lease) refresh(more time.Duration) {
	l.renew(more)
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lease) renew(more time.Duration) {
	l.expires = time.Now().Add(time.Duration(l.ttl)*time.Second + more)
}

// attach moves a key to a lease, or to none if id is 0.
func (e *Etcd) attach(key string, id int64) {
	if old := e.leases[e.owners[key]]; old != nil {
		delete(old.keys, key)
		delete(e.owners, key)
	}
	if id != 0 {
		e.leases[id].keys[key] = true
		e.owners[key] = id
	}
}

func (e *Etcd) grant(r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	e.entries++
	id := r.ID
	for id == 0 || r.ID == 0 && e.leases[id] != nil {
		e.nextID++
		id = e.nextID
	}
	if r.TTL > maxTTL {
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	if e.leases[id] != nil {
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	l := &lease{id: id, ttl: max(r.TTL, minTTL), keys: make(map[string]bool), changed: make(chan struct{})}
	l.renew(0)
	e.leases[id] = l
	e.arm()
	return &pb.LeaseGrantResponse{Header: e.header(), ID: id, TTL: l.ttl}, nil
}

func (e *Etcd) revoke(id int64) (*pb.LeaseRevokeResponse, error) {
	e.entries++
	l := e.leases[id]
	if l == nil {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	b := e.store.begin()
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		b.remove(span{start: key, single: true})
	}
	e.commit(b)
	delete(e.leases, id)
	close(l.changed)
	return &pb.LeaseRevokeResponse{Header: e.header()}, nil
}

// keepAlive renews a lease and takes the lock itself: the answer about a
// lease whose time has passed has to wait until it is revoked. It reports
// false if the etcd is closed meanwhile.
func (e *Etcd) keepAlive(id int64) (*pb.LeaseKeepAliveResponse, bool) {
	resp := &pb.LeaseKeepAliveResponse{ID: id}
	for {
		if !e.lock() {
			return nil, false
		}
		if resp.Header == nil {
			// From before the renewal: a lease may be gone at this revision,
			// but it was not renewed later than at it.
			resp.Header = e.header()
		}
		l := e.leases[id]
		if l == nil {
			e.mu.Unlock()
			return resp, true // a TTL of 0 says: not found
		}
		if time.Now().Before(l.expires) {
			l.renew(0)
			resp.TTL = l.ttl
			e.mu.Unlock()
			return resp, true
		}
		changed := l.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-e.done:
			return nil, false
		}
	}
}

func (e *Etcd) timeToLive(r *pb.LeaseTimeToLiveRequest) *pb.LeaseTimeToLiveResponse {
	l := e.leases[r.ID]
	if l == nil {
		return &pb.LeaseTimeToLiveResponse{Header: e.header(), ID: r.ID, TTL: -1}
	}
	resp := &pb.LeaseTimeToLiveResponse{
		Header: e.header(), ID: l.id, TTL: int64(time.Until(l.expires).Seconds()), GrantedTTL: l.ttl,
	}
	if r.Keys {
		for _, key := range slices.Sorted(maps.Keys(l.keys)) {
			resp.Keys = append(resp.Keys, []byte(key))
		}
	}
	return resp
}

func (e *Etcd) listLeases() *pb.LeaseLeasesResponse {
	resp := &pb.LeaseLeasesResponse{Header: e.header()}
	for _, l := range e.byExpiry() {
		resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: l.id})
	}
	return resp
}

// byExpiry returns all leases, the first to expire first.
func (e *Etcd) byExpiry() []*lease {
	return slices.SortedFunc(maps.Values(e.leases), func(a, b *lease) int {
		return cmp.Or(a.expires.Compare(b.expires), cmp.Compare(a.id, b.id))
	})
}

// arm sees to it that expire runs at the first look at the leases after one
// of them expires. Renewals need not call it: it is harmless to look early.
func (e *Etcd) arm() {
	if e.closed || e.thawed != nil || len(e.leases) == 0 {
		return
	}
	var first time.Time
	for _, l := range e.leases {
		if first.IsZero() || l.expires.Before(first) {
			first = l.expires
		}
	}
	if now := time.Now(); !first.After(now) {
		first = now.Add(1) // the look of this very moment is over
	}
	looks := (first.Sub(e.started) + expiryInterval - 1) / expiryInterval
	at := e.started.Add(looks * expiryInterval)
	if !e.expiryAt.IsZero() && !at.Before(e.expiryAt) {
		return
	}
	e.disarm()
	e.expiryAt = at
	e.expiry = time.AfterFunc(time.Until(at), e.expire)
}

func (e *Etcd) disarm() {
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.expiryAt = time.Time{}
}

// expire revokes the leases whose time has passed, each in a revision of its
// own.
func (e *Etcd) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expiryAt = time.Time{}
	if e.closed || e.thawed != nil {
		return
	}
	now, revoked := time.Now(), 0
	for _, l := range e.byExpiry() {
		if l.expires.After(now) || revoked == expiriesAtOnce {
			break
		}
		_, _ = e.revoke(l.id) // it exists
		revoked++
	}
	e.arm()
}
