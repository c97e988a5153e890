package leasetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// generator makes requests that are often valid and sometimes not.
type generator struct {
	rand   *rand.Rand
	rev    int64
	leases []int64
	nextID int64

	// keeps allows puts that keep a value or a lease, instead of deletes
	// "from key" in the same transaction: together they can crash etcd.
	keeps bool

	// compacts allows compactions, instead of transactions that put and
	// delete the same key: together they can crash etcd, too.
	compacts bool
}

func (g *generator) n(n int) int      { return g.rand.IntN(n) }
func (g *generator) once(in int) bool { return g.n(in) == 0 }
func (g *generator) key() []byte      { return fmt.Appendf(nil, "%c%c", 'a'+rune(g.n(3)), 'a'+rune(g.n(6))) }
func (g *generator) value() []byte    { return fmt.Appendf(nil, "%d", g.n(4)) }
func (g *generator) revision() int64  { return g.rev - int64(g.n(12)) + 2 }

// learn keeps the revision up to date and the leases few.
func (g *generator) learn(answer proto.Message) {
	if a, ok := answer.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.rev = max(g.rev, a.GetHeader().GetRevision())
	}
	g.leases = g.leases[max(0, len(g.leases)-8):]
}

// span returns a key and a range end of any kind.
func (g *generator) span() (key, end []byte) {
	key = g.key()
	switch g.n(8) {
	case 0, 1:
		return key[:1], []byte{key[0] + 1}
	case 2:
		return key, []byte{0}
	case 3:
		return key, g.key()
	case 4:
		if g.once(60) {
			return nil, nil
		}
	}
	return key, nil
}

func (g *generator) lease() int64 {
	if len(g.leases) == 0 || g.once(40) {
		return 4711
	}
	return g.leases[g.n(len(g.leases))]
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{Serializable: g.once(2)}
	r.Key, r.RangeEnd = g.span()
	if g.once(4) {
		r.Limit = int64(g.n(4)) - 1
	}
	if g.once(5) {
		r.Revision = g.revision()
	}
	r.KeysOnly, r.CountOnly = g.once(5), g.once(8)
	if g.once(3) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.n(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.n(5))
		if g.once(30) {
			r.SortOrder = 7
		}
	}
	for _, f := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.once(12) {
			*f = g.revision()
		}
	}
	return r
}

func (g *generator) putRequest() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), PrevKv: g.once(3)}
	if r.IgnoreValue = g.keeps && g.once(8); !r.IgnoreValue || g.once(10) {
		r.Value = g.value()
	}
	if r.IgnoreLease = g.keeps && g.once(8); (!r.IgnoreLease || g.once(10)) && g.once(3) {
		r.Lease = g.lease()
	}
	return r
}

func (g *generator) deleteRequest() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{PrevKv: g.once(3)}
	r.Key, r.RangeEnd = g.span()
	if g.keeps && len(r.RangeEnd) == 1 && r.RangeEnd[0] == 0 {
		r.RangeEnd = nil
	}
	return r
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Result: pb.Compare_CompareResult(g.n(4)), Target: pb.Compare_CompareTarget(g.n(5))}
	c.Key, c.RangeEnd = g.span()
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(g.n(3))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: int64(g.n(2)) * g.revision()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: int64(g.n(2)) * g.revision()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(g.n(2)) * g.lease()}
	}
	return c
}

func (g *generator) ops(depth int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range g.n(4) {
		op := &pb.RequestOp{}
		switch k := g.n(10); {
		case k < 3:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}
		case k < 7:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}
		case k < 8 || depth == 0:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRequest()}
		default:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: g.txnRequest(depth - 1)}
		}
		ops = append(ops, op)
	}
	return ops
}

func (g *generator) txnRequest(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{Success: g.ops(depth), Failure: g.ops(depth)}
	for range g.n(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	return r
}

// next returns a request and a constructor of its answer.
func (g *generator) next() (method string, req proto.Message, answer func() proto.Message) {
	g.keeps = g.once(2)
	switch k := g.n(100); {
	case k < 15:
		return pb.KV_Range_FullMethodName, g.rangeRequest(), func() proto.Message { return &pb.RangeResponse{} }
	case k < 30:
		return pb.KV_Put_FullMethodName, g.putRequest(), func() proto.Message { return &pb.PutResponse{} }
	case k < 37:
		return pb.KV_DeleteRange_FullMethodName, g.deleteRequest(), func() proto.Message { return &pb.DeleteRangeResponse{} }
	case k < 85:
		r := g.txnRequest(2)
		for g.compacts && checkTxn(r) == nil && overlaps(r) {
			r = g.txnRequest(2)
		}
		return pb.KV_Txn_FullMethodName, r, func() proto.Message { return &pb.TxnResponse{} }
	case k < 87 && g.compacts:
		return pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: g.rev - int64(g.n(20)) + 2}, func() proto.Message { return &pb.CompactionResponse{} }
	case k < 92:
		g.nextID++
		g.leases = append(g.leases, g.nextID)
		return pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: g.nextID, TTL: 3600}, func() proto.Message { return &pb.LeaseGrantResponse{} }
	case k < 93:
		return pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: g.lease(), TTL: 3600}, func() proto.Message { return &pb.LeaseGrantResponse{} }
	case k < 96:
		return pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.lease()}, func() proto.Message { return &pb.LeaseRevokeResponse{} }
	default:
		return pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: true}, func() proto.Message { return &pb.LeaseTimeToLiveResponse{} }
	}
}

// overlaps reports whether the transaction may change a key twice.
func overlaps(r *pb.TxnRequest) bool {
	puts, dels := changes(r, nil, nil)
	for _, key := range puts {
		for _, d := range dels {
			if d.contains(key) {
				return true
			}
		}
	}
	return false
}

func changes(r *pb.TxnRequest, puts []string, dels []span) ([]string, []span) {
	for _, op := range slices.Concat(r.Success, r.Failure) {
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			puts = append(puts, string(o.RequestPut.Key))
		case *pb.RequestOp_RequestDeleteRange:
			dels = append(dels, newSpan(o.RequestDeleteRange.Key, o.RequestDeleteRange.RangeEnd))
		case *pb.RequestOp_RequestTxn:
			puts, dels = changes(o.RequestTxn, puts, dels)
		}
	}
	return puts, dels
}
