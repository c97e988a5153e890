package leasetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// progressInterval is how often etcd tells an idle watch, if it asked for
// it, how far it has come.
const progressInterval = 10 * time.Minute

// watcher is a clientv3.Watcher that comes to rest in a synctest bubble.
// clientv3's own cannot: a context of each of its streams is a child of one
// that ends with a channel of the package, outside of every bubble.
type watcher struct {
	conn *conn

	mu      sync.Mutex
	closed  bool
	watches map[*watch]bool
	tasks   sync.WaitGroup
}

// Watch implements clientv3.Watcher. Like etcd's it returns when the server
// has created the watch, and resumes when its stream breaks.
func (w *watcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpWatch(key, opts...)
	stream := streamOf(ctx)
	ctx, cancel := context.WithCancel(ctx)
	x := &watch{
		conn:    w.conn,
		cancel:  cancel,
		stream:  stream,
		op:      op,
		rev:     op.Rev(),
		out:     make(chan clientv3.WatchResponse, 1),
		created: make(chan struct{}),
		done:    make(chan struct{}),
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		cancel()
		close(x.out)
		return x.out
	}
	w.watches[x] = true
	w.tasks.Go(func() {
		defer w.forget(x)
		defer cancel()
		x.run(ctx)
	})
	w.mu.Unlock()
	select {
	case <-x.created:
	case <-x.done:
	}
	return x.out
}

func (w *watcher) forget(x *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watches, x)
}

// RequestProgress implements clientv3.Watcher: each watch of the client that
// was opened with the same metadata in its context gets a response without
// events, unless one of them waits for a revision to come.
func (w *watcher) RequestProgress(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errors.New("no stream found for context")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var stream []*watch
	for x := range w.watches {
		if x.stream == streamOf(ctx) {
			stream = append(stream, x)
		}
	}
	c := w.conn
	c.etcd.spawn(func() {
		fate := c.link.request(Call{Method: "Watch", Request: &pb.WatchProgressRequest{}})
		if fate.Lost || !c.etcd.wait(fate.Delay) || c.link.isCut() || !c.etcd.lock() {
			return
		}
		defer c.etcd.mu.Unlock()
		var subs []*subscription
		for _, x := range stream {
			if s := x.subscription(); s != nil {
				subs = append(subs, s)
			}
		}
		c.etcd.progress(subs)
	})
	return nil
}

// Close implements clientv3.Watcher: it ends all watches and waits for them.
func (w *watcher) Close() error {
	w.mu.Lock()
	w.closed = true
	for x := range w.watches {
		x.cancel()
	}
	w.mu.Unlock()
	w.tasks.Wait()
	return nil
}

// streamOf names the stream that the watches of a context share: a context
// with other metadata, such as "require leader", has another stream.
func streamOf(ctx context.Context) string {
	md, _ := metadata.FromOutgoingContext(ctx)
	if len(md) == 0 {
		return ""
	}
	return fmt.Sprint(map[string][]string(md))
}

// watch is the client's side of one watch.
type watch struct {
	conn    *conn
	cancel  context.CancelFunc
	stream  string
	op      clientv3.Op
	out     chan clientv3.WatchResponse
	created chan struct{} // closed when the first response has come
	done    chan struct{} // closed when the watch is over and out is closed

	mu  sync.Mutex
	sub *subscription // the present one

	// Only run uses what follows.
	rev     int64 // where to resume
	begun   bool
	over    bool                     // a final response is in the buffer
	buffer  []clientv3.WatchResponse // received, and not yet taken by the user
	landing []landing                // responses on the wire, in order
}

// landing is a response on its way to the client.
type landing struct {
	resp *pb.WatchResponse
	at   time.Time
}

func (x *watch) subscription() *subscription {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sub
}

func (x *watch) run(ctx context.Context) {
	defer close(x.done)
	defer close(x.out)
	backoff := time.Millisecond
	for {
		err := x.follow(ctx)
		if err == nil || x.conn.ended(ctx) != nil {
			return
		}
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.Internal || errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) {
			x.buffer = append(x.buffer, clientv3.WatchResponse{
				Header: &pb.ResponseHeader{}, Canceled: true, CancelReason: rpctypes.ErrorDesc(err),
			})
			x.drain(ctx)
			return
		}
		backoff = min(backoff+backoff/4, 100*time.Millisecond)
		if !x.conn.pause(ctx, backoff) {
			return
		}
	}
}

// drain hands what is left in the buffer to the user.
func (x *watch) drain(ctx context.Context) {
	for _, resp := range x.buffer {
		select {
		case x.out <- resp:
		case <-ctx.Done():
			return
		case <-x.conn.closed:
			return
		}
	}
}

// follow lives as long as one stream. It returns nil when the watch is over,
// and an error when the stream broke.
func (x *watch) follow(ctx context.Context) error {
	broken := x.conn.link.connection()
	sub, err := x.open(ctx, broken)
	if err != nil {
		return err
	}
	defer x.conn.etcd.unsubscribe(sub)
	x.landing = nil
	idle := time.NewTicker(progressInterval)
	defer idle.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	quiet := true
	for {
		if x.over && len(x.buffer) == 0 {
			return nil
		}
		out, next := x.next()
		timer.Reset(x.nextLanding())
		select {
		case out <- next:
			x.buffer = x.buffer[1:]
		case <-sub.inbox.ready:
			select {
			case <-broken:
				return ErrUnavailable // a new stream will bring it again
			default:
			}
			quiet = false
			for _, s := range sub.inbox.take() {
				if err := x.launch(s); err != nil {
					return err
				}
			}
		case <-timer.C:
			x.land()
		case <-idle.C:
			if quiet && x.op.IsProgressNotify() && x.conn.etcd.lock() {
				x.conn.etcd.progress([]*subscription{sub})
				x.conn.etcd.mu.Unlock()
			}
			quiet = true
		case <-broken:
			return ErrUnavailable
		case <-x.conn.etcd.done:
			return ErrUnavailable
		case <-ctx.Done():
			return nil
		case <-x.conn.closed:
			return nil
		}
	}
}

// next returns where to send the first response of the buffer; nil if there
// is none.
func (x *watch) next() (chan<- clientv3.WatchResponse, clientv3.WatchResponse) {
	if len(x.buffer) == 0 {
		return nil, clientv3.WatchResponse{}
	}
	return x.out, x.buffer[0]
}
