package main

import (
	"context"
	"errors"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// leaderPause is how long a request waits before it tries the next member.
const leaderPause = 20 * time.Millisecond

// elsewhere has requests answered by the other members when one of etcd's has lost
// its peers and still takes connections. That member would be silent; it is told to
// refuse what needs a leader, which it does before it looks at the request, so that
// even a write may go to the next. While nobody leads, a request waits for an
// election, for --etcd-timeout. Reads that began before the member knew, are sent
// again after as long. It runs below the client's own retries.
func (o *etcdOptions) elsewhere(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	read, isRead := req.(*pb.RangeRequest)
	if isRead && read.Serializable || !strings.HasPrefix(method, "/etcdserverpb.KV/") && !strings.HasPrefix(method, "/etcdserverpb.Lease/") {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	ctx = clientv3.WithRequireLeader(ctx)
	attempt := func() error {
		ctx, cancel := ctx, context.CancelFunc(func() {})
		if isRead {
			ctx, cancel = context.WithTimeout(ctx, o.answerIn)
		}
		defer cancel()
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	for start := time.Now(); ; {
		err := attempt()
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) || time.Since(start) >= o.answerIn {
			return err
		}
		select {
		case <-time.After(leaderPause):
		case <-ctx.Done():
			return err
		}
	}
}
