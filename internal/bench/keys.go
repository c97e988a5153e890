package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	records    = 8    // keys of a node: itself and what belongs to it
	recordSize = 1024 // bytes of each
	nodeBytes  = records * (recordSize + 256)
	rawSize    = 256 // bytes of a raw put
)

// id is what the i-th node is called.
func id(i int) node.ID { return node.ID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)) }

// keys is where conductors have their records, here.
func (r *run) keys() node.Keys { return node.Keys{Root: r.root} }

func (r *run) putKey(i int) string    { return fmt.Sprintf("%sput/%08d", r.root, i) }
func (r *run) bareKey(i int) string   { return r.root + "bare/" + string(id(i)) }
func (r *run) mutexKey(i int) string  { return r.root + "mutex/" + string(id(i)) }
func (r *run) mutexNode(i int) string { return r.root + "mutex-nodes/" + string(id(i)) + "/" }

// nodeKeys are the records of a node: itself, four ports, a portgroup, a volume's connector and target.
func (r *run) nodeKeys(i int) []string {
	var all []string
	for n, k := range r.keys().Read(id(i)) {
		switch {
		case n == 0:
			all = append(all, k)
		case n == 1:
			all = append(all, k+"a", k+"b", k+"c", k+"d")
		default:
			all = append(all, k+"a")
		}
	}
	return all
}

// pool is how many nodes the scenarios use that are not about their number.
func (o *Options) pool() int { return max(8*slices.Max(o.Workers), 128) }

// store makes sure of n nodes, for the locks and, as far as other scenarios need them, for the mutex.
func (r *run) store(ctx context.Context, n int) error {
	if r.stored >= n {
		return nil
	}
	r.o.Say("storing %d nodes of %d kB", n, records*recordSize>>10)
	value, pool := strings.Repeat("r", recordSize), r.o.pool()
	var ops []clientv3.Op
	for ; r.stored < n; r.stored++ {
		for k, key := range r.nodeKeys(r.stored) {
			ops = append(ops, clientv3.OpPut(key, value))
			if r.stored < pool {
				ops = append(ops, clientv3.OpPut(r.mutexNode(r.stored)+fmt.Sprint(k), value))
			}
		}
		if len(ops) < 96 && r.stored+1 < n {
			continue
		}
		if _, err := r.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return fmt.Errorf("store nodes: %w", err)
		}
		ops = ops[:0]
	}
	return nil
}

// clean deletes all keys of the run, some thousand at a time, for an etcd at work must not stall.
func (r *run) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	end := clientv3.GetPrefixRangeEnd(r.root)
	for {
		page, err := r.client.Get(ctx, r.root, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(5000))
		if err == nil && len(page.Kvs) == 0 {
			return nil
		}
		if err == nil {
			last := string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
			_, err = r.client.Delete(ctx, r.root, clientv3.WithRange(last))
		}
		if err != nil {
			return fmt.Errorf("delete what is left below %s (do it with etcdctl del --prefix): %w", r.root, err)
		}
	}
}
