package leasetest

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errCrash is the answer to a transaction that passes all checks and cannot
// be carried out: it deletes a key "from key", which the duplicate-key rule
// does not see, and then puts the key with its old value or lease. An etcd
// 3.7.3 panics, and again at each restart.
var errCrash = status.Error(codes.Internal, "leasetest: a real etcd would crash: ignore_value or ignore_lease of a key deleted in the same transaction")

// txn answers a transaction that passed checkTxn. As in etcd, all compares,
// those of nested transactions too, are decided against the state before the
// first write, and all that could fail is checked before anything is done.
func (e *Etcd) txn(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !readOnly(r) {
		e.entries++
	}
	path := decide(e.store.head(), r, nil)
	if _, err := e.checkPath(r, path); err != nil {
		return nil, err
	}
	b := e.store.begin()
	resp, _, err := e.execute(b, r, path)
	if err != nil {
		return nil, err
	}
	resp.Header.Revision = b.rev()
	e.commit(b)
	return resp, nil
}

// readOnly reports whether etcd answers the transaction without raft. A
// nested transaction counts as a write, whatever is in it.
func readOnly(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}

func branch(r *pb.TxnRequest, succeeded bool) []*pb.RequestOp {
	if succeeded {
		return r.Success
	}
	return r.Failure
}

// decide appends to path, in depth-first order, which branch each
// transaction takes. Transactions on the branch not taken do not appear.
func decide(t *tree, r *pb.TxnRequest, path []bool) []bool {
	succeeded := true
	for _, c := range r.Compare {
		if succeeded = holds(t, c); !succeeded {
			break
		}
	}
	path = append(path, succeeded)
	for _, op := range branch(r, succeeded) {
		if nested := op.GetRequestTxn(); nested != nil {
			path = decide(t, nested, path)
		}
	}
	return path
}

// holds reports whether a compare is true for every key of its range. If
// there is none, the fields of an absent key are 0, but a value that does
// not exist equals nothing and differs from nothing.
func holds(t *tree, c *pb.Compare) bool {
	found := false
	for kv := range t.in(newSpan(c.Key, c.RangeEnd)) {
		if found = true; !matches(c, kv) {
			return false
		}
	}
	return found || c.Target != pb.Compare_VALUE && matches(c, &mvccpb.KeyValue{})
}

func matches(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	var order int
	switch c.Target {
	case pb.Compare_VALUE:
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	case pb.Compare_LESS:
		return order < 0
	default:
		return true
	}
}

// checkPath refuses what could not be carried out, before anything is. It
// returns how many decisions of the path it used.
func (e *Etcd) checkPath(r *pb.TxnRequest, path []bool) (used int, err error) {
	used = 1
	for _, op := range branch(r, path[0]) {
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			if rev := o.RequestRange.Revision; rev > e.store.rev() {
				return 0, rpctypes.ErrGRPCFutureRev
			} else if rev != 0 && rev < e.store.compacted {
				return 0, rpctypes.ErrGRPCCompacted
			}
		case *pb.RequestOp_RequestPut:
			if err := e.checkPut(o.RequestPut, e.store.head()); err != nil {
				return 0, err
			}
		case *pb.RequestOp_RequestTxn:
			n, err := e.checkPath(o.RequestTxn, path[used:])
			if err != nil {
				return 0, err
			}
			used += n
		}
	}
	return used, nil
}

// checkPut refuses a put on a lease that is gone, and one that keeps the
// value or the lease of a key that does not exist.
func (e *Etcd) checkPut(r *pb.PutRequest, t *tree) error {
	if r.Lease != 0 && e.leases[r.Lease] == nil {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	if (r.IgnoreValue || r.IgnoreLease) && t.at(string(r.Key)) == nil {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

// execute carries out the branches that the path names. It returns how many
// decisions of the path it used.
func (e *Etcd) execute(b *batch, r *pb.TxnRequest, path []bool) (resp *pb.TxnResponse, used int, err error) {
	resp = &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: path[0]}
	used = 1
	for _, op := range branch(r, path[0]) {
		var answer pb.ResponseOp
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			got, err := e.store.read(o.RequestRange, b.tree, b.rev())
			if err != nil {
				return nil, 0, err
			}
			answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: got}
		case *pb.RequestOp_RequestPut:
			put, err := e.put(b, o.RequestPut)
			if err != nil {
				return nil, 0, errCrash
			}
			answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: put}
		case *pb.RequestOp_RequestDeleteRange:
			answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: deleteRange(b, o.RequestDeleteRange)}
		case *pb.RequestOp_RequestTxn:
			nested, n, err := e.execute(b, o.RequestTxn, path[used:])
			if err != nil {
				return nil, 0, err
			}
			used += n
			answer.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: nested}
		}
		resp.Responses = append(resp.Responses, &answer)
	}
	return resp, used, nil
}

func (e *Etcd) put(b *batch, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := e.checkPut(r, b.tree); err != nil {
		return nil, err
	}
	old := b.tree.at(string(r.Key))
	value, lease := r.Value, r.Lease
	if r.IgnoreValue {
		value = old.Value
	}
	if r.IgnoreLease {
		lease = old.Lease
	}
	b.put(r.Key, value, lease)
	resp := &pb.PutResponse{Header: &pb.ResponseHeader{Revision: b.rev()}}
	if r.PrevKv {
		resp.PrevKv = old
	}
	return resp, nil
}

func deleteRange(b *batch, r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	old := b.remove(newSpan(r.Key, r.RangeEnd))
	resp := &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: b.rev()}, Deleted: int64(len(old))}
	if r.PrevKv {
		resp.PrevKvs = old
	}
	return resp
}
