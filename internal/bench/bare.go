package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// bares are the least that etcd can be asked to do for a lock: a key is put on a lease if it is not
// there, and deleted if it is as it was put; with records, one range reads the node's and one of
// them is written. Those that are ready together travel together, as locks do. Nobody could work
// under it: there is no queue, no session that ends in time, no fence, no watch and nothing for a
// successor. How far locks are behind it, is what these cost.
func (r *run) bares(workers int, doing string) work {
	value := strings.Repeat("b", recordSize)
	return work{what: "bare", doing: doing, workers: workers, begin: func(ctx context.Context) (operation, func(), error) {
		lease, err := r.client.Grant(ctx, 60)
		if err != nil {
			return nil, nil, err
		}
		waiting := make(chan joint, workers)
		for range 2 { // as many requests under way as a session has
			go r.join(ctx, waiting)
		}
		end := func() {
			close(waiting)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_, _ = r.client.Revoke(ctx, lease.ID) // else it runs out
		}
		return timed(func(_ context.Context, worker, i int) error {
			n := turn(r.o.pool(), workers, worker, i)
			key := r.bareKey(n)
			take := []clientv3.Op{clientv3.OpPut(key, "bench", clientv3.WithLease(lease.ID))}
			give := []clientv3.Op{clientv3.OpDelete(key)}
			if doing == withRecords {
				take = append(take, clientv3.OpGet(r.mutexNode(n), clientv3.WithPrefix()))
			}
			rev, got, err := joined(waiting, clientv3.Compare(clientv3.CreateRevision(key), "=", 0), take)
			if err != nil {
				return err
			}
			if doing == withRecords {
				kvs := got[1].GetResponseRange().Kvs
				if len(kvs) != records {
					return fmt.Errorf("read %d records: want %d", len(kvs), records)
				}
				give = append(give, clientv3.OpPut(string(kvs[0].Key), value))
			}
			_, _, err = joined(waiting, clientv3.Compare(clientv3.CreateRevision(key), "=", rev), give)
			return err
		}), end, nil
	}}
}

// joint is a transaction that may travel with others.
type joint struct {
	op   clientv3.Op
	done chan<- landed
}

type landed struct {
	rev int64
	r   *pb.TxnResponse
	err error
}

// joined sends a transaction with those of others, and returns what its operations did.
func joined(waiting chan<- joint, guard clientv3.Cmp, ops []clientv3.Op) (rev int64, rs []*pb.ResponseOp, err error) {
	done := make(chan landed, 1)
	waiting <- joint{clientv3.OpTxn([]clientv3.Cmp{guard}, ops, nil), done}
	l := <-done
	if l.err == nil && !l.r.Succeeded {
		l.err = errors.New("a bare lock was another's")
	}
	return l.rev, l.r.GetResponses(), l.err
}

// join carries what waits, as much as there is, one request after the other.
func (r *run) join(ctx context.Context, waiting <-chan joint) {
	for first := range waiting {
		all := []joint{first}
		for more := true; more && len(all) < 64; {
			select {
			case j, open := <-waiting:
				if more = open; open {
					all = append(all, j)
				}
			default:
				more = false
			}
		}
		ops := make([]clientv3.Op, len(all))
		for i, j := range all {
			ops[i] = j.op
		}
		answer, err := r.client.Txn(ctx).Then(ops...).Commit()
		for i, j := range all {
			l := landed{err: err}
			if err == nil {
				l.rev, l.r = answer.Header.Revision, answer.Responses[i].GetResponseTxn()
			}
			j.done <- l
		}
	}
}
