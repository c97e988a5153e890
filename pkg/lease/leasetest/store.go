package leasetest

import (
	"bytes"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// store is the multi-version key space: one tree and one list of events for
// each revision since the last compaction. Pairs are never changed once they
// are stored.
type store struct {
	first     int64 // the revision of trees[0] and log[0]
	compacted int64 // reads below it are refused; -1 before the first compaction, as in etcd
	trees     []*tree
	log       [][]*mvccpb.Event
}

// newStore returns the store of a new etcd: empty, at revision 1.
func newStore() *store {
	return &store{first: 1, compacted: -1, trees: []*tree{nil}, log: [][]*mvccpb.Event{nil}}
}

func (s *store) rev() int64 { return s.first + int64(len(s.trees)) - 1 }

func (s *store) head() *tree { return s.trees[len(s.trees)-1] }

// at returns the tree of a revision; ok is false if it is compacted or yet
// to come.
func (s *store) at(rev int64) (t *tree, ok bool) {
	if rev < s.first || rev > s.rev() {
		return nil, false
	}
	return s.trees[rev-s.first], true
}

// compact forgets what is older than rev.
func (s *store) compact(rev int64) error {
	switch {
	case rev <= s.compacted:
		return rpctypes.ErrGRPCCompacted
	case rev > s.rev():
		return rpctypes.ErrGRPCFutureRev
	}
	s.compacted = rev
	if rev > s.first {
		s.trees = slices.Clone(s.trees[rev-s.first:])
		s.log = slices.Clone(s.log[rev-s.first:])
		s.first = rev
	}
	return nil
}

// read answers a range request. Head and rev are the newest state that the
// reader may see; inside a transaction that is the transaction's own.
func (s *store) read(r *pb.RangeRequest, head *tree, rev int64) (*pb.RangeResponse, error) {
	t, asked := head, r.Revision
	if asked > rev {
		return nil, rpctypes.ErrGRPCFutureRev
	}
	if asked <= 0 {
		asked = rev
	}
	if asked < s.compacted {
		return nil, rpctypes.ErrGRPCCompacted
	}
	if asked != rev {
		t, _ = s.at(asked)
	}
	kvs := slices.Collect(t.in(newSpan(r.Key, r.RangeEnd)))
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: rev}, Count: int64(len(kvs))}
	if r.CountOnly {
		return resp, nil
	}
	if r.Limit > 0 && int64(len(kvs)) > r.Limit+1 && r.SortOrder == pb.RangeRequest_NONE && !hasFilters(r) {
		// etcd takes a target without an order for no sort at all when it
		// decides what to read, but sorts what it has read.
		kvs = kvs[:r.Limit+1]
	}
	kvs = slices.DeleteFunc(kvs, func(kv *mvccpb.KeyValue) bool { return filtered(r, kv) })
	order(r, kvs)
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs, resp.More = kvs[:r.Limit], true
	}
	if r.KeysOnly {
		for i, kv := range kvs {
			kvs[i] = keyOnly(kv, r.SortTarget == pb.RangeRequest_VALUE)
		}
	}
	resp.Kvs = kvs
	return resp, nil
}

// keyOnly returns kv without its value. Since 3.7 etcd answers from its
// index, which does not know leases, unless it had to sort by value.
func keyOnly(kv *mvccpb.KeyValue, withLease bool) *mvccpb.KeyValue {
	k := &mvccpb.KeyValue{
		Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version,
	}
	if withLease {
		k.Lease = kv.Lease
	}
	return k
}

func hasFilters(r *pb.RangeRequest) bool {
	return r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
}

func filtered(r *pb.RangeRequest, kv *mvccpb.KeyValue) bool {
	return r.MaxModRevision != 0 && kv.ModRevision > r.MaxModRevision ||
		r.MinModRevision != 0 && kv.ModRevision < r.MinModRevision ||
		r.MaxCreateRevision != 0 && kv.CreateRevision > r.MaxCreateRevision ||
		r.MinCreateRevision != 0 && kv.CreateRevision < r.MinCreateRevision
}

// order sorts the pairs as the request asks. It uses sort.Sort, which is not
// stable, because etcd does: equal pairs come out in the same order.
func order(r *pb.RangeRequest, kvs []*mvccpb.KeyValue) {
	by := r.SortOrder
	if r.SortTarget != pb.RangeRequest_KEY && by == pb.RangeRequest_NONE {
		by = pb.RangeRequest_ASCEND
	}
	s := byTarget{kvs, r.SortTarget}
	switch {
	case by == pb.RangeRequest_DESCEND:
		sort.Sort(sort.Reverse(s))
	case by == pb.RangeRequest_ASCEND && r.SortTarget != pb.RangeRequest_KEY:
		sort.Sort(s)
	}
}

type byTarget struct {
	kvs    []*mvccpb.KeyValue
	target pb.RangeRequest_SortTarget
}

func (b byTarget) Len() int      { return len(b.kvs) }
func (b byTarget) Swap(i, j int) { b.kvs[i], b.kvs[j] = b.kvs[j], b.kvs[i] }
func (b byTarget) Less(i, j int) bool {
	x, y := b.kvs[i], b.kvs[j]
	switch b.target {
	case pb.RangeRequest_VERSION:
		return x.Version < y.Version
	case pb.RangeRequest_CREATE:
		return x.CreateRevision < y.CreateRevision
	case pb.RangeRequest_MOD:
		return x.ModRevision < y.ModRevision
	case pb.RangeRequest_VALUE:
		return bytes.Compare(x.Value, y.Value) < 0
	default:
		return bytes.Compare(x.Key, y.Key) < 0
	}
}

// batch is a write transaction: it sees the store as it was when the batch
// began and its own changes, and becomes one revision.
type batch struct {
	store  *store
	tree   *tree
	events []*mvccpb.Event
}

func (s *store) begin() *batch { return &batch{store: s, tree: s.head()} }

// rev is the revision that the batch sees: the next one after its first
// change.
func (b *batch) rev() int64 {
	if len(b.events) > 0 {
		return b.store.rev() + 1
	}
	return b.store.rev()
}

func (b *batch) put(key, value []byte, lease int64) {
	rev := b.store.rev() + 1
	kv := &mvccpb.KeyValue{
		Key: key, Value: value, Lease: lease, CreateRevision: rev, ModRevision: rev, Version: 1,
	}
	if old := b.tree.at(string(key)); old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	b.tree = b.tree.with(kv)
	b.events = append(b.events, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv})
}

// remove deletes the keys of a span and returns what they were.
func (b *batch) remove(s span) []*mvccpb.KeyValue {
	rev := b.store.rev() + 1
	old := slices.Collect(b.tree.in(s))
	for _, kv := range old {
		b.tree = b.tree.without(string(kv.Key))
		b.events = append(b.events, &mvccpb.Event{
			Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: kv.Key, ModRevision: rev},
		})
	}
	return old
}

// keep makes the batch the newest revision. A batch that changed nothing
// leaves no trace.
func (b *batch) keep() {
	if len(b.events) > 0 {
		b.store.trees = append(b.store.trees, b.tree)
		b.store.log = append(b.store.log, b.events)
	}
}
