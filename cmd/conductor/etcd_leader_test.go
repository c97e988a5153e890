package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func TestElsewhere(t *testing.T) {
	const kv, wait = "/etcdserverpb.KV/", 5 * time.Second
	silent := errors.New("silent") // a member that does not answer
	for name, c := range map[string]struct {
		method  string
		req     any
		members []error // what one after the other says; the last again and again
		calls   int
		leader  bool // is required
		want    error
		took    time.Duration
	}{
		"a leader answers": {kv + "Txn", &pb.TxnRequest{}, []error{nil}, 1, true, nil, 0},
		"the next member answers": {
			kv + "Txn", &pb.TxnRequest{},
			[]error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNoLeader, nil},
			3, true, nil, 2 * leaderPause,
		},
		"a lease, too":        {"/etcdserverpb.Lease/LeaseGrant", &pb.LeaseGrantRequest{}, []error{rpctypes.ErrGRPCNoLeader, nil}, 2, true, nil, leaderPause},
		"nobody leads":        {kv + "Put", &pb.PutRequest{}, []error{rpctypes.ErrGRPCNoLeader}, 251, true, rpctypes.ErrGRPCNoLeader, wait},
		"a silent member":     {kv + "Range", &pb.RangeRequest{}, []error{silent}, 1, true, context.DeadlineExceeded, wait},
		"a write is not lost": {kv + "Txn", &pb.TxnRequest{}, []error{silent}, 1, true, context.DeadlineExceeded, time.Minute},
		"a write that may be done": {
			kv + "Txn", &pb.TxnRequest{},
			[]error{rpctypes.ErrGRPCTimeout, nil},
			1, true, rpctypes.ErrGRPCTimeout, 0,
		},
		"a local read":   {kv + "Range", &pb.RangeRequest{Serializable: true}, []error{rpctypes.ErrGRPCNoLeader}, 1, false, rpctypes.ErrGRPCNoLeader, 0},
		"a member's own": {"/etcdserverpb.Maintenance/Status", &pb.StatusRequest{}, []error{nil}, 1, false, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
					err := c.members[min(calls, len(c.members)-1)]
					calls++
					md, _ := metadata.FromOutgoingContext(ctx)
					if got := len(md.Get(rpctypes.MetadataRequireLeaderKey)) > 0; got != c.leader {
						t.Errorf("a leader is required: %v, want %v", got, c.leader)
					}
					if err == silent {
						<-ctx.Done()
						return ctx.Err()
					}
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				o := etcdOptions{answerIn: wait}
				start := time.Now()
				err := o.elsewhere(ctx, c.method, c.req, nil, nil, invoke)
				if took := time.Since(start); !errors.Is(err, c.want) || calls != c.calls || took != c.took {
					t.Errorf("%d calls, %v after %s; want %d, %v after %s", calls, err, took, c.calls, c.want, c.took)
				}
			})
		})
	}
}
