package leasetest

import (
	"context"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The identity of the cluster and of its only member.
const (
	clusterID = 0xc0d0
	memberID  = 0x0e7c
	version   = "3.7.3"

	// electionTimeout is what a new leader adds to every lease.
	electionTimeout = time.Second

	// dialTimeout is what the clients are configured with. It matters to
	// Lease.KeepAlive alone, which gives up a second after it.
	dialTimeout = 5 * time.Second
)

// Etcd is an etcd in memory, of one member. Make it with [New], and make it
// inside the testing/synctest bubble that uses it. All methods are safe for
// concurrent use.
type Etcd struct {
	started time.Time // leases are looked at every 500 ms from here
	done    chan struct{}

	mu       sync.Mutex
	closed   bool
	tasks    sync.WaitGroup // messages on their way; added to under mu while not closed
	store    *store
	leases   map[int64]*lease
	owners   map[string]int64 // the lease of each key that has one
	nextID   int64            // of a lease that asks for none
	entries  int64
	term     uint64
	watchers map[*subscription]bool
	thawed   chan struct{} // nil while the server runs
	expiry   *time.Timer   // nil until there is a lease
	expiryAt time.Time     // when expiry fires; zero if it is not armed
	links    map[string]*link
	clients  []*clientv3.Client
}

// New starts an empty etcd at revision 1. Close it before its synctest
// bubble ends.
func New() *Etcd {
	return &Etcd{
		started:  time.Now(),
		done:     make(chan struct{}),
		store:    newStore(),
		leases:   make(map[int64]*lease),
		owners:   make(map[string]int64),
		nextID:   0x6c65617365, // any number; ids need only differ
		term:     2,
		watchers: make(map[*subscription]bool),
		links:    make(map[string]*link),
	}
}

// Client returns a new client of the etcd, connected through the network
// named name, see [Etcd.SetNetwork]; clients of one name share it. Close the
// client, or the etcd, to end its goroutines. As for every client made by
// clientv3.NewCtxClient, Close returns context.Canceled, which means success.
//
// The client is a real clientv3.Client on top of a fake connection, except
// for its Watcher, which is written anew: clientv3's own never comes to rest
// in a synctest bubble. Cluster.MemberList and Maintenance.Status answer; the
// rest of Cluster and Maintenance, and all of Auth, is codes.Unimplemented.
func (e *Etcd) Client(name string) *clientv3.Client {
	c := clientv3.NewCtxClient(context.Background())
	cc := &conn{etcd: e, link: e.link(name), closed: c.Ctx().Done()}
	c.KV = clientv3.NewKVFromKVClient(pb.NewKVClient(cc), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(pb.NewLeaseClient(cc), c, dialTimeout+time.Second)
	c.Watcher = &watcher{conn: cc, watches: make(map[*watch]bool)}
	c.Cluster = clientv3.NewClusterFromClusterClient(pb.NewClusterClient(cc), c)
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(pb.NewMaintenanceClient(cc), c)
	c.Auth = clientv3.NewAuthFromAuthClient(pb.NewAuthClient(cc), c)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, c)
	return c
}

// Close stops the server and closes all its clients. Messages that are still
// on their way are dropped. It waits until all goroutines of the etcd and of
// its watches have ended, and may be called again.
func (e *Etcd) Close() {
	e.mu.Lock()
	clients := e.clients
	if !e.closed {
		e.closed = true
		close(e.done)
		e.disarm()
	}
	e.mu.Unlock()
	e.tasks.Wait()
	for _, c := range clients {
		_ = c.Close() // always context.Canceled
	}
}

// RaftEntries returns how many entries a real etcd would have appended to
// its log for the same requests: one for each write, one for each
// transaction that could write, even if its compare failed, and one each for
// a compaction and for the grant, the revocation and the expiry of a lease.
// Reads, renewals and requests that are refused at the door cost none.
func (e *Etcd) RaftEntries() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.entries
}

// Revision returns the current revision of the store.
func (e *Etcd) Revision() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.store.rev()
}

// FreezeAll stops the server as a stalled disk does: it answers nobody, no
// watch gets an event and no lease expires, until [Etcd.ThawAll]. Requests
// that arrive in between are carried out then, even those that their callers
// have given up.
func (e *Etcd) FreezeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.thawed == nil {
		e.thawed = make(chan struct{})
	}
}

// ThawAll ends [Etcd.FreezeAll]. Leases whose time has passed expire within
// half a second; call [Etcd.Elect] first if the stall should have cost the
// leader its office.
func (e *Etcd) ThawAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.thawed != nil {
		close(e.thawed)
		e.thawed = nil
		e.arm()
	}
}

// Elect makes a new leader: the term rises, and every lease lives again for
// its full TTL and an election timeout of one second.
func (e *Etcd) Elect() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term++
	e.entries++ // a new leader commits an empty entry
	for _, l := range e.leases {
		l.refresh(electionTimeout)
	}
	e.arm()
}

// header returns a full response header of the current revision.
func (e *Etcd) header() *pb.ResponseHeader { return e.fill(&pb.ResponseHeader{}) }

// fill completes a header; the revision stays if it is set.
func (e *Etcd) fill(h *pb.ResponseHeader) *pb.ResponseHeader {
	h.ClusterId, h.MemberId, h.RaftTerm = clusterID, memberID, e.term
	if h.Revision == 0 {
		h.Revision = e.store.rev()
	}
	return h
}

// commit makes a batch the newest revision: its keys move to their leases
// and its events to the watchers.
func (e *Etcd) commit(b *batch) {
	for _, ev := range b.events {
		e.attach(string(ev.Kv.Key), ev.Kv.Lease)
	}
	b.keep()
	if len(b.events) > 0 {
		e.publish(b.events)
	}
}

// spawn runs f in a goroutine that Close waits for. It reports false, and
// does not run f, if the etcd is closed.
func (e *Etcd) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.tasks.Go(f)
	}
	return !e.closed
}

// wait sleeps for d, or until the etcd is closed; then it reports false.
func (e *Etcd) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.done:
		return false
	}
}

// lock locks the server, as soon as it is not frozen. It reports false, and
// does not lock, if the etcd is closed.
func (e *Etcd) lock() bool {
	for {
		e.mu.Lock()
		switch thawed := e.thawed; {
		case e.closed:
			e.mu.Unlock()
			return false
		case thawed == nil:
			return true
		default:
			e.mu.Unlock()
			select {
			case <-thawed:
			case <-e.done:
			}
		}
	}
}

// link returns the network of a name.
func (e *Etcd) link(name string) *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.links[name]
	if l == nil {
		l = &link{client: name, broken: make(chan struct{})}
		e.links[name] = l
	}
	return l
}

// names returns the names of all networks, in order.
func (e *Etcd) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for name := range e.links {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
