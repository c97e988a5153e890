package leasetest

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// serve carries out one request. While the server is frozen it waits.
func (e *Etcd) serve(req proto.Message) (proto.Message, error) {
	if r, ok := req.(*pb.LeaseKeepAliveRequest); ok {
		if resp, ok := e.keepAlive(r.ID); ok {
			return resp, nil
		}
		return nil, ErrUnavailable
	}
	if err := check(req); err != nil {
		return nil, err
	}
	if !e.lock() {
		return nil, ErrUnavailable
	}
	defer e.mu.Unlock()
	resp, err := e.apply(req)
	if err != nil {
		return nil, err // not a typed nil in resp
	}
	if h, ok := resp.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		e.fill(h.GetHeader())
	}
	return resp, nil
}

// check refuses what never gets as far as raft.
func check(req proto.Message) error {
	var err error
	switch r := req.(type) {
	case *pb.RangeRequest:
		return checkRange(r)
	case *pb.PutRequest:
		err = checkPutRequest(r)
	case *pb.DeleteRangeRequest:
		err = checkDelete(r)
	case *pb.TxnRequest:
		err = checkTxn(r)
		if err == nil && readOnly(r) {
			return nil
		}
	}
	if err == nil && proposal(req) > maxRequestBytes {
		err = rpctypes.ErrGRPCRequestTooLarge
	}
	return err
}

// proposal is the size of the raft entry that proposes a request.
func proposal(req proto.Message) int {
	r := &pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 1 << 63}}
	switch q := req.(type) {
	case *pb.PutRequest:
		r.Put = q
	case *pb.DeleteRangeRequest:
		r.DeleteRange = q
	case *pb.TxnRequest:
		r.Txn = q
	default:
		return 0
	}
	return proto.Size(r)
}

// apply carries out a checked request under the lock. It leaves the cluster
// part of headers to its caller.
func (e *Etcd) apply(req proto.Message) (proto.Message, error) {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return e.store.read(r, e.store.head(), e.store.rev())
	case *pb.PutRequest:
		return e.applyPut(r)
	case *pb.DeleteRangeRequest:
		e.entries++
		b := e.store.begin()
		resp := deleteRange(b, r)
		e.commit(b)
		return resp, nil
	case *pb.TxnRequest:
		return e.txn(r)
	case *pb.CompactionRequest:
		e.entries++
		return &pb.CompactionResponse{Header: &pb.ResponseHeader{}}, e.store.compact(r.Revision)
	case *pb.LeaseGrantRequest:
		return e.grant(r)
	case *pb.LeaseRevokeRequest:
		return e.revoke(r.ID)
	case *pb.LeaseTimeToLiveRequest:
		return e.timeToLive(r), nil
	case *pb.LeaseLeasesRequest:
		return e.listLeases(), nil
	case *pb.StatusRequest:
		return &pb.StatusResponse{
			Header: e.header(), Version: version, StorageVersion: "3.7.0", Leader: memberID,
			RaftIndex: uint64(e.entries), RaftAppliedIndex: uint64(e.entries), RaftTerm: e.term,
		}, nil
	case *pb.MemberListRequest:
		return &pb.MemberListResponse{
			Header:  e.header(),
			Members: []*pb.Member{{ID: memberID, Name: "leasetest"}},
		}, nil
	}
	return nil, status.Errorf(codes.Unimplemented, "leasetest: no %T", req)
}

func (e *Etcd) applyPut(r *pb.PutRequest) (*pb.PutResponse, error) {
	e.entries++
	b := e.store.begin()
	resp, err := e.put(b, r)
	if err != nil {
		return nil, err
	}
	e.commit(b)
	return resp, nil
}
