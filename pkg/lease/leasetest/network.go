package leasetest

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// refusal is how long it takes to learn that a connection is refused or
// broken. It is not zero, so that a caller who tries again at once, as
// Lease.KeepAliveOnce does, lets the clock of its bubble move on.
const refusal = 10 * time.Millisecond

// ErrUnavailable is a broken connection, as a client sees it: code
// Unavailable. Whether the server got the request is not known. Clients send
// reads, and grants and revocations of leases, again by themselves.
var ErrUnavailable = status.Error(codes.Unavailable, "error reading from server: EOF")

// Network lies between the clients of one name and the server. Its hooks
// decide the fate of each message; nil means that all messages arrive at
// once. Hooks must be safe for concurrent use and must not block.
type Network struct {
	// Request decides about what a client sends: each call, each renewal on
	// a keep-alive stream, and each creation of a watch.
	Request func(Call) Fate

	// Answer decides about what the server sends: the answer to each of
	// these, and each response of a watch. By then the request has been
	// carried out.
	Answer func(Call) Fate
}

// Call is one message between a client and the server. Hooks read it and
// leave it as it is.
type Call struct {
	// Client is the name that was given to [Etcd.Client].
	Client string

	// Method is the name of the call, such as "Txn", "LeaseKeepAlive" or
	// "Watch", without its service.
	Method string

	// Request is what the client sent, for example a *pb.TxnRequest.
	Request proto.Message

	// Answer is what the server returns; nil on the way to the server and if
	// Err is set.
	Answer proto.Message

	// Err is the server's refusal, a gRPC status, such as
	// rpctypes.ErrGRPCLeaseNotFound.
	Err error
}

// Fate is what happens to one message. The zero Fate is that it arrives at
// once.
//
// What is on the wire stays on the wire: a message that is delayed arrives
// even if its caller has given up by then. So a Delay longer than the
// caller's patience is a request carried out behind the caller's back.
type Fate struct {
	// Delay is how long the message is on its way. Responses of one watch
	// never overtake each other; calls do.
	Delay time.Duration

	// Lost messages never arrive. Unless Err is set, the caller hears
	// nothing until its context ends or its connection breaks. A lost
	// response of a watch is an event that etcd forgot to send: the watch
	// goes on.
	Lost bool

	// Err, if set, is what the caller gets instead of an answer, a moment
	// from now: normally [ErrUnavailable]. It must be a gRPC status. The
	// message itself goes its own way; add Lost if it must not arrive. On a
	// watch it breaks the stream, which resumes from where it was if the
	// code is Unavailable or Internal, and ends the watch otherwise.
	Err error

	// Again, if not zero, is how long after the first a second copy of a
	// request arrives. Nobody sees the answer to that one. Watches and
	// answers ignore it.
	Again time.Duration
}

// SetNetwork changes the network of the clients of a name, from the next
// message on. The zero Network is perfect, and so is that of a name for
// which nothing was set.
func (e *Etcd) SetNetwork(client string, n Network) {
	l := e.link(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.network = n
}

// Cut stops all traffic of the clients of a name, both ways. What is sent or
// should arrive during the cut is lost; callers wait until their contexts
// end or until [Etcd.Heal].
func (e *Etcd) Cut(client string) {
	l := e.link(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
}

// Heal ends a [Etcd.Cut]. The connection is a new one, see [Etcd.Break].
func (e *Etcd) Heal(client string) {
	l := e.link(client)
	l.mu.Lock()
	l.cut = false
	l.mu.Unlock()
	e.Break(client)
}

// Break resets the connection of the clients of a name: calls on their way
// return [ErrUnavailable], whatever becomes of them, keep-alive streams end,
// and watches resume from where they were.
func (e *Etcd) Break(client string) {
	l := e.link(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.broken)
	l.broken = make(chan struct{})
}

// CutAll is [Etcd.Cut] for every client there is.
func (e *Etcd) CutAll() {
	for _, name := range e.names() {
		e.Cut(name)
	}
}

// HealAll is [Etcd.Heal] for every client there is.
func (e *Etcd) HealAll() {
	for _, name := range e.names() {
		e.Heal(name)
	}
}

// link is the network of one name and its state.
type link struct {
	client string

	mu      sync.Mutex
	network Network
	cut     bool
	broken  chan struct{} // closed when the present connection breaks
}

// connection returns a channel that is closed when the present connection
// breaks.
func (l *link) connection() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// request decides the fate of a message to the server.
func (l *link) request(c Call) Fate {
	return l.fate(c, func(n Network) func(Call) Fate { return n.Request })
}

// answer decides the fate of a message to the client.
func (l *link) answer(c Call) Fate {
	return l.fate(c, func(n Network) func(Call) Fate { return n.Answer })
}

func (l *link) fate(c Call, way func(Network) func(Call) Fate) Fate {
	l.mu.Lock()
	hook, cut := way(l.network), l.cut
	l.mu.Unlock()
	switch {
	case cut:
		return Fate{Lost: true}
	case hook == nil:
		return Fate{}
	}
	c.Client = l.client
	return hook(c)
}
