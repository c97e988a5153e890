package leasetest

import (
	"context"
	"io"
	"path"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// How a real client sends a call again that found the server unavailable.
const (
	maxAttempts  = 100
	retryBackoff = 25 * time.Millisecond
)

// repeatable reports whether a real client sends the call again by itself.
func repeatable(method string) bool {
	switch method {
	case "Range", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases", "MemberList", "Status":
		return true
	}
	return false
}

// conn is the connection of one client: what a *grpc.ClientConn is to a real
// one.
type conn struct {
	etcd   *Etcd
	link   *link
	closed <-chan struct{} // when the client is
}

// reply is the end of a call.
type reply struct {
	answer proto.Message
	err    error
}

// Invoke does a unary call, again and again if that is safe.
func (c *conn) Invoke(ctx context.Context, method string, in, out any, _ ...grpc.CallOption) error {
	name := path.Base(method)
	for attempt := 1; ; attempt++ {
		answer, err := c.call(ctx, name, in.(proto.Message))
		if err == nil {
			proto.Merge(out.(proto.Message), answer)
			return nil
		}
		if status.Code(err) != codes.Unavailable || !repeatable(name) || attempt == maxAttempts {
			return err
		}
		if !c.pause(ctx, retryBackoff) {
			return c.ended(ctx)
		}
	}
}

// call sends a request and waits for the answer, but no longer than the
// caller, the connection and the client last.
func (c *conn) call(ctx context.Context, name string, req proto.Message) (proto.Message, error) {
	if err := c.ended(ctx); err != nil {
		return nil, err
	}
	replies, broken := make(chan reply, 2), c.link.connection()
	if err := c.send(name, req, func(r reply) { replies <- r }); err != nil {
		c.pause(ctx, refusal)
		return nil, err
	}
	select {
	case r := <-replies:
		return r.answer, r.err
	case <-broken:
		c.pause(ctx, refusal)
		return nil, ErrUnavailable
	case <-c.etcd.done:
		c.pause(ctx, refusal)
		return nil, ErrUnavailable
	case <-ctx.Done():
	case <-c.closed:
	}
	return nil, c.ended(ctx)
}

// ended returns why nothing can be done for ctx, or nil.
func (c *conn) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	select {
	case <-c.closed:
		return status.Error(codes.Canceled, "grpc: the client connection is closing")
	default:
		return nil
	}
}

// pause sleeps; it reports false if ctx or the client ended meanwhile.
func (c *conn) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-c.closed:
	}
	return false
}

// send puts a request on the wire. Hear gets what the caller hears of it:
// normally one reply, none if something was lost on the way, and two at most.
func (c *conn) send(name string, req proto.Message, hear func(reply)) error {
	if size := proto.Size(req); size > maxSendBytes {
		return status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", size, maxSendBytes)
	}
	call := Call{Method: name, Request: proto.Clone(req)} // the caller may change its own
	there := c.link.request(call)
	if !c.etcd.spawn(func() { c.carry(call, there, hear) }) {
		return ErrUnavailable
	}
	return nil
}

// carry brings a request to the server and the answer back.
func (c *conn) carry(call Call, there Fate, hear func(reply)) {
	c.refuse(there, hear)
	if there.Lost || !c.etcd.wait(there.Delay) || c.link.isCut() {
		return
	}
	if there.Again > 0 {
		c.etcd.spawn(func() {
			if c.etcd.wait(there.Again) && !c.link.isCut() {
				_, _ = c.etcd.serve(call.Request)
			}
		})
	}
	call.Answer, call.Err = c.etcd.serve(call.Request)
	back := c.link.answer(call)
	c.refuse(back, hear)
	if back.Lost || back.Err != nil || there.Err != nil || !c.etcd.wait(back.Delay) || c.link.isCut() {
		return
	}
	hear(reply{call.Answer, call.Err})
}

// refuse tells the caller of a broken connection, if that is the fate.
func (c *conn) refuse(f Fate, hear func(reply)) {
	if f.Err != nil {
		c.etcd.spawn(func() {
			c.etcd.wait(refusal)
			hear(reply{err: f.Err})
		})
	}
}

// NewStream opens a keep-alive stream or a streamed range. Watches do not
// come this way.
func (c *conn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.ended(ctx); err != nil {
		return nil, err
	}
	name := path.Base(method)
	if name != "LeaseKeepAlive" && name != "RangeStream" {
		return nil, status.Errorf(codes.Unimplemented, "leasetest: no stream %s", method)
	}
	return &stream{conn: c, ctx: ctx, name: name, broken: c.link.connection(), inbox: newMailbox[reply]()}, nil
}

// stream carries requests one way and their answers the other.
type stream struct {
	conn   *conn
	ctx    context.Context
	name   string
	broken <-chan struct{}
	inbox  *mailbox[reply]
	heard  []reply // taken from the inbox and not yet received
	over   bool    // a streamed range ends after its answer
}

func (s *stream) Context() context.Context     { return s.ctx }
func (s *stream) Header() (metadata.MD, error) { return nil, nil }
func (s *stream) Trailer() metadata.MD         { return nil }
func (s *stream) CloseSend() error             { return nil }

// SendMsg puts a message on the wire. It returns io.EOF if the stream has
// ended; RecvMsg says why.
func (s *stream) SendMsg(m any) error {
	req := m.(proto.Message)
	if s.name == "RangeStream" {
		if err := checkRangeStream(req.(*pb.RangeRequest)); err != nil {
			s.inbox.put(reply{err: err})
			return nil
		}
	}
	if s.conn.ended(s.ctx) != nil || s.conn.send(s.name, req, s.inbox.put) != nil {
		return io.EOF
	}
	return nil
}

// RecvMsg waits for the next answer, but no longer than the stream lasts.
func (s *stream) RecvMsg(m any) error {
	for len(s.heard) == 0 && !s.over {
		if s.heard = s.inbox.take(); len(s.heard) > 0 {
			break
		}
		select {
		case <-s.inbox.ready:
			continue
		case <-s.broken:
			s.conn.pause(s.ctx, refusal)
			return ErrUnavailable
		case <-s.conn.etcd.done:
			s.conn.pause(s.ctx, refusal)
			return ErrUnavailable
		case <-s.ctx.Done():
		case <-s.conn.closed:
		}
		return s.conn.ended(s.ctx)
	}
	if s.over {
		return io.EOF
	}
	r := s.heard[0]
	s.heard = s.heard[1:]
	if r.err != nil {
		return r.err
	}
	if s.name == "RangeStream" {
		s.over = true
		r.answer = &pb.RangeStreamResponse{RangeResponse: r.answer.(*pb.RangeResponse)}
	}
	proto.Merge(m.(proto.Message), r.answer)
	return nil
}

// checkRangeStream refuses what etcd cannot stream.
func checkRangeStream(r *pb.RangeRequest) error {
	switch {
	case len(r.Key) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.SortOrder != pb.RangeRequest_NONE && (r.SortTarget != pb.RangeRequest_KEY || r.SortOrder != pb.RangeRequest_ASCEND):
		return status.Errorf(codes.Unimplemented, "RangeStream does not support custom sort orders")
	case hasFilters(r):
		return status.Errorf(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	return nil
}
