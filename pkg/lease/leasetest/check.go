package leasetest

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// What etcd refuses before it proposes anything to raft.

// etcd's defaults.
const (
	maxTxnOps       = 128
	maxRequestBytes = 3 << 19 // 1.5 MiB
	maxSendBytes    = 2 << 20 // what a client sends at most
)

func checkRange(r *pb.RangeRequest) error {
	if len(r.Key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	if _, ok := pb.RangeRequest_SortOrder_name[int32(r.SortOrder)]; !ok {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	if _, ok := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; !ok {
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

func checkPutRequest(r *pb.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

func checkDelete(r *pb.DeleteRangeRequest) error {
	if len(r.Key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

func checkTxn(r *pb.TxnRequest) error {
	if err := checkOps(r, maxTxnOps); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		if _, _, err := checkKeys(ops); err != nil {
			return err
		}
	}
	return nil
}

// checkOps refuses malformed operations and too many of them. A transaction
// may be as wide as the limit; its children share what its width leaves.
func checkOps(r *pb.TxnRequest, limit int) error {
	width := max(len(r.Compare), len(r.Success), len(r.Failure))
	if width > limit {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range r.Compare {
		if len(c.Key) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, op := range slices.Concat(r.Success, r.Failure) {
		if err := checkOp(op, limit-width); err != nil {
			return err
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, limit int) error {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return checkRange(o.RequestRange)
	case *pb.RequestOp_RequestPut:
		return checkPutRequest(o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return checkDelete(o.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return checkOps(o.RequestTxn, limit)
	default:
		return rpctypes.ErrGRPCKeyNotFound
	}
}

// deletes are the ranges that a list of operations deletes.
type deletes []span

func (d deletes) contain(key string) bool {
	return slices.ContainsFunc(d, func(s span) bool {
		// etcd forgets here that "\x00" means "to the end": such a range is
		// empty for this check, and for this check only.
		return !s.open && s.contains(key)
	})
}

// checkKeys refuses operations that put one key twice, or put and delete it.
// It returns the keys put and the ranges deleted. The order of the three
// passes is etcd's and can be seen from outside: a nested delete after a
// nested put of the same key passes, the other way round it does not.
func checkKeys(ops []*pb.RequestOp) (map[string]bool, deletes, error) {
	var dels deletes
	for _, op := range ops {
		if d := op.GetRequestDeleteRange(); d != nil {
			dels = append(dels, newSpan(d.Key, d.RangeEnd))
		}
	}
	puts := make(map[string]bool)
	for _, op := range ops {
		nested := op.GetRequestTxn()
		if nested == nil {
			continue
		}
		putsThen, delsThen, err := checkKeys(nested.Success)
		if err != nil {
			return nil, nil, err
		}
		putsElse, delsElse, err := checkKeys(nested.Failure)
		if err != nil {
			return nil, nil, err
		}
		for key := range putsThen {
			if puts[key] || dels.contain(key) {
				return nil, nil, rpctypes.ErrGRPCDuplicateKey
			}
			puts[key] = true
		}
		for key := range putsElse {
			// Then and Else exclude each other and may put the same key.
			if puts[key] && !putsThen[key] || dels.contain(key) {
				return nil, nil, rpctypes.ErrGRPCDuplicateKey
			}
			puts[key] = true
		}
		dels = slices.Concat(dels, delsThen, delsElse)
	}
	for _, op := range ops {
		p := op.GetRequestPut()
		if p == nil {
			continue
		}
		key := string(p.Key)
		if puts[key] || dels.contain(key) {
			return nil, nil, rpctypes.ErrGRPCDuplicateKey
		}
		puts[key] = true
	}
	return puts, dels, nil
}
