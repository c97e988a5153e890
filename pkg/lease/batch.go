package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// etcd: 128 operations per level of a transaction; what the outer one uses, the inner ones lack.
	batchTxns, txnOps = 64, 64
	batchBytes        = 1 << 20 // etcd refuses a request of more than 1.5 MiB
)

// flights is how many requests with one transaction or more a session has under way, and twice that
// when many wait. Two: the answers of one are worked on while etcd works on the other.
var flights = 2

// batcher is the group commit of a session. While requests are under way, the transactions that
// become ready are collected, and travel as one: one request, one raft entry, one sync of the disk.
// There is no timer. A transaction that finds a request free goes at once, and as itself.
//
// Those of one batch must not touch what another of them writes, because etcd evaluates all
// compares before the first write. They share a revision; otherwise nobody can tell that he
// travelled in company: each has its own compares, its own answer and its own error.
type batcher struct {
	s       *Session
	flights int

	mu     sync.Mutex
	flying int
	queue  []*parcel
	claims claims
}

// txn is a transaction before it is sent.
type txn struct {
	ifs       []clientv3.Cmp
	then, els []clientv3.Op
}

// parcel is a transaction that waits for its batch.
type parcel struct {
	txn
	marks []mark
	size  int
	done  chan struct{} // closed with the answer
	answer
}

// answer is what became of a transaction. Doubt tells that it may have been committed although it
// failed, or that an earlier copy of it may have been.
type answer struct {
	r     *clientv3.TxnResponse
	err   error
	doubt bool
}

func newBatcher(s *Session) *batcher {
	return &batcher{s: s, flights: flights, claims: newClaims(s.keys)}
}

// send commits a transaction, once, by itself or with others. It blocks until the answer is there
// or ctx ends.
func (b *batcher) send(ctx context.Context, t txn) answer {
	if b.s.cfg.Unbatched {
		return b.request(ctx, t)
	}
	b.mu.Lock()
	if b.flying < b.flights && len(b.queue) == 0 {
		b.flying++
		b.mu.Unlock()
		defer b.landed()
		return b.request(ctx, t)
	}
	b.mu.Unlock()
	p := &parcel{txn: t, done: make(chan struct{})}
	if !b.measure(p) {
		return b.request(ctx, t)
	}
	b.mu.Lock()
	b.queue = append(b.queue, p)
	// Either a request has come back meanwhile, or a batch is full: that one gains nothing by waiting.
	idle := b.flying < b.flights || len(b.queue) >= batchTxns && b.flying < 2*b.flights
	if idle {
		b.flying++
	}
	b.mu.Unlock()
	if idle {
		b.landed()
	}
	select {
	case <-p.done:
		return p.answer
	case <-ctx.Done():
		return answer{err: ctx.Err(), doubt: !b.withdraw(p)}
	}
}

// measure reports whether the transaction can travel in a batch.
func (b *batcher) measure(p *parcel) (ok bool) {
	p.size = p.txn.size()
	if p.size > batchBytes/2 || p.ops() > txnOps {
		return false
	}
	p.marks, ok = b.claims.of(p.txn)
	return ok
}

// withdraw takes a transaction back that has not left yet.
func (b *batcher) withdraw(p *parcel) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.queue, p)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	return i >= 0
}

// landed uses a request that has come back for those who wait, for as long as there are any.
func (b *batcher) landed() {
	if ps := b.load(); ps != nil {
		go func() {
			for ; ps != nil; ps = b.load() {
				b.carry(ps)
			}
		}()
	}
}

// load takes the next batch out of the queue. If there is none, one request less is under way.
// Who does not fit is waited for by those behind him that touch the same keys.
func (b *batcher) load() []*parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.flying--
		return nil
	}
	b.claims.clear()
	var batch []*parcel
	left, size := b.queue[:0], 0
	for i, p := range b.queue {
		if len(batch) == batchTxns || size+p.size > batchBytes {
			left = append(left, b.queue[i:]...)
			break
		}
		if b.claims.add(p.marks) {
			batch, size = append(batch, p), size+p.size
		} else {
			left = append(left, p)
		}
	}
	clear(b.queue[len(left):])
	b.queue = left
	return batch
}

// carry sends a batch and hands out its answers. If etcd refuses it as a whole, one of them is to
// blame, and each goes by itself.
func (b *batcher) carry(ps []*parcel) {
	all := ps[0].txn
	if len(ps) > 1 {
		all = txn{then: make([]clientv3.Op, len(ps))}
		for i, p := range ps {
			all.then[i] = clientv3.OpTxn(p.ifs, p.then, p.els)
		}
	}
	a := b.request(b.s.ctx, all)
	if a.err != nil && len(ps) > 1 && !unknownOutcome(a.err) && !errors.Is(a.err, rpctypes.ErrTooManyRequests) {
		for _, p := range ps {
			go func() {
				alone := b.request(b.s.ctx, p.txn)
				alone.doubt = alone.doubt || a.doubt
				p.deliver(alone)
			}()
		}
		return
	}
	for i, p := range ps {
		mine := a
		if a.err == nil && len(ps) > 1 {
			r := a.r.Responses[i].GetResponseTxn()
			mine.r = &clientv3.TxnResponse{Header: a.r.Header, Succeeded: r.Succeeded, Responses: r.Responses}
		}
		p.deliver(mine)
	}
}

func (p *parcel) deliver(a answer) {
	p.answer = a
	close(p.done)
}

// request sends a transaction and waits for its answer, for one attempt.
func (b *batcher) request(ctx context.Context, t txn) answer {
	ctx, cancel := context.WithTimeout(ctx, b.s.attempt())
	defer cancel()
	start := time.Now()
	r, err := b.s.client.Txn(ctx).If(t.ifs...).Then(t.then...).Else(t.els...).Commit()
	b.s.cfg.Metrics.request("txn", start, err)
	// etcd: the write that exceeds the quota is committed, and answered with an error.
	doubt := err != nil && (unknownOutcome(err) || errors.Is(err, rpctypes.ErrNoSpace))
	return answer{r: r, err: err, doubt: doubt}
}

// ops is the number of operations that etcd counts at the widest place of the transaction.
func (t txn) ops() int { return width(len(t.ifs), t.then, t.els) }

func width(ifs int, branches ...[]clientv3.Op) int {
	most, below := ifs, 0
	for _, ops := range branches {
		most = max(most, len(ops))
		for _, o := range ops {
			if o.IsTxn() {
				c, t, e := o.Txn()
				below = max(below, width(len(c), t, e))
			}
		}
	}
	return most + below
}

// size is about how many bytes the transaction takes in a request.
func (t txn) size() int { return bytesOf(t.ifs, t.then, t.els) }

func bytesOf(ifs []clientv3.Cmp, branches ...[]clientv3.Op) int {
	const frame = 24 // numbers and lengths
	n := frame
	for i := range ifs {
		c := ifs[i].GetCompare()
		n += frame + len(c.Key) + len(c.RangeEnd) + len(c.GetValue())
	}
	for _, ops := range branches {
		for _, o := range ops {
			if o.IsTxn() {
				c, t, e := o.Txn()
				n += bytesOf(c, t, e)
				continue
			}
			n += frame + len(o.KeyBytes()) + len(o.RangeBytes()) + len(o.ValueBytes())
		}
	}
	return n
}
