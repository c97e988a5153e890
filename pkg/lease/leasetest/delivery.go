package leasetest

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// open creates the watch on the server, at the revision where it left off.
func (x *watch) open(ctx context.Context, broken <-chan struct{}) (*subscription, error) {
	req := x.request()
	fate := x.conn.link.request(Call{Method: "Watch", Request: req})
	switch {
	case fate.Err != nil:
		x.conn.pause(ctx, refusal)
		return nil, fate.Err
	case fate.Lost:
		return nil, x.hang(ctx, broken)
	case fate.Delay > 0:
		if !x.conn.pause(ctx, fate.Delay) {
			return nil, x.conn.ended(ctx)
		}
	}
	if x.conn.link.isCut() {
		return nil, x.hang(ctx, broken)
	}
	return x.subscribe(ctx, broken, req)
}

// hang waits for the end of a stream on which nothing comes.
func (x *watch) hang(ctx context.Context, broken <-chan struct{}) error {
	select {
	case <-broken:
	case <-x.conn.etcd.done:
	case <-ctx.Done():
	case <-x.conn.closed:
	}
	return ErrUnavailable
}

// subscribe asks the server, which may be frozen, in a goroutine of its own:
// the watch may end sooner.
func (x *watch) subscribe(ctx context.Context, broken <-chan struct{}, req *pb.WatchCreateRequest) (*subscription, error) {
	e := x.conn.etcd
	subs := make(chan *subscription, 1)
	if !e.spawn(func() {
		if !e.lock() {
			return
		}
		defer e.mu.Unlock()
		subs <- e.subscribe(req)
	}) {
		return nil, ErrUnavailable
	}
	select {
	case sub := <-subs:
		x.mu.Lock()
		defer x.mu.Unlock()
		x.sub = sub
		return sub, nil
	case <-broken:
	case <-e.done:
	case <-ctx.Done():
	case <-x.conn.closed:
	}
	// Nobody will read what the server sends; forget it when it is there.
	e.spawn(func() {
		select {
		case sub := <-subs:
			e.unsubscribe(sub)
		case <-e.done:
		}
	})
	return nil, ErrUnavailable
}

func (x *watch) request() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{
		Key:            x.op.KeyBytes(),
		RangeEnd:       x.op.RangeBytes(),
		StartRevision:  x.rev,
		ProgressNotify: x.op.IsProgressNotify(),
		PrevKv:         x.op.IsPrevKV(),
		Fragment:       x.op.IsFragment(),
	}
	if x.op.IsFilterPut() {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if x.op.IsFilterDelete() {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return r
}

// launch puts a response on the wire to the client.
func (x *watch) launch(s sent) error {
	fate := x.conn.link.answer(Call{Method: "Watch", Request: x.request(), Answer: s.resp})
	switch {
	case fate.Err != nil:
		return fate.Err
	case fate.Lost:
		return nil
	}
	at := s.at.Add(fate.Delay)
	if n := len(x.landing); n > 0 && at.Before(x.landing[n-1].at) {
		at = x.landing[n-1].at
	}
	x.landing = append(x.landing, landing{s.resp, at})
	x.land()
	return nil
}

// nextLanding returns how long it is until land has something to do.
func (x *watch) nextLanding() time.Duration {
	if len(x.landing) == 0 {
		return time.Hour
	}
	return time.Until(x.landing[0].at)
}

// land receives the responses that have arrived by now.
func (x *watch) land() {
	now := time.Now()
	for len(x.landing) > 0 && !x.landing[0].at.After(now) {
		resp := x.landing[0].resp
		x.landing = x.landing[1:]
		if !x.conn.link.isCut() {
			x.receive(proto.CloneOf(resp))
		}
	}
}

// receive does what clientv3 does with a response: it remembers where to
// resume, and buffers the response for the user.
func (x *watch) receive(r *pb.WatchResponse) {
	resp := clientv3.WatchResponse{
		Header:          r.Header,
		Events:          r.Events,
		CompactRevision: r.CompactRevision,
		Created:         r.Created,
		Canceled:        r.Canceled,
		CancelReason:    r.CancelReason,
	}
	if r.Created && !r.Canceled {
		if x.begun {
			return // resumed
		}
		x.begun = true
		if x.rev == 0 {
			// From the present revision on, not from the one after it: as
			// in clientv3, a watch that resumes before its first event sees
			// the present revision once more.
			x.rev = r.Header.Revision
		}
		if x.op.IsCreatedNotify() {
			x.buffer = append(x.buffer, resp)
		}
		close(x.created)
		return
	}
	if r.Created {
		// Refused. clientv3 does not show the header of such a response.
		resp.Header, resp.Created = &pb.ResponseHeader{}, false
	}
	x.over = r.Canceled
	x.rev = r.Header.Revision + 1
	if n := len(r.Events); n > 0 {
		x.rev = r.Events[n-1].Kv.ModRevision + 1
	}
	x.buffer = append(x.buffer, resp)
}
