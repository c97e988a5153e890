package lease_test

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/lease/leasetest"
)

// full has etcd refuse one session's writes, as it does at its quota: deletes go through, and
// leases are renewed.
func (b *lab) full(name string) (room func()) {
	no := leasetest.Fate{Lost: true, Err: rpctypes.ErrGRPCNoSpace}
	b.etcd.SetNetwork(name, leasetest.Network{Request: func(c leasetest.Call) leasetest.Fate {
		switch r := c.Request.(type) {
		case *pb.LeaseGrantRequest:
			return no
		case *pb.TxnRequest:
			if puts(r) {
				return no
			}
		}
		return leasetest.Fate{}
	}})
	return func() { b.etcd.SetNetwork(name, leasetest.Network{}) }
}

// puts says whether a transaction writes, if its compares hold.
func puts(r *pb.TxnRequest) bool {
	return slices.ContainsFunc(r.Success, func(op *pb.RequestOp) bool {
		return op.GetRequestPut() != nil || op.GetRequestTxn() != nil && puts(op.GetRequestTxn())
	})
}

// While etcd is full, nothing new is locked, what is held stays held, its writes wait, and when
// there is room again nothing is lost.
func TestFullEtcd(t *testing.T) {
	for name, write := range map[string]func(b *lab, l *lease.Lock) error{
		"commit": func(b *lab, l *lease.Lock) error {
			_, err := l.Commit(b.Context(), b.put("nodes/n", "by a"))
			return err
		},
		"release": func(b *lab, l *lease.Lock) error { return l.Release(b.Context(), b.put("nodes/n", "by a")) },
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(b *lab) {
				a := b.session("a")
				l := b.acquire(a, lease.Request{Name: "n"})
				bare := b.acquire(a, lease.Request{Name: "bare"})
				room := b.full("a")
				start := time.Now()
				_, err := a.Acquire(b.Context(), lease.Request{Name: "m"})
				b.want(err, rpctypes.ErrNoSpace)
				b.want(bare.Release(b.Context(), lease.Write{}), nil)
				b.queued("bare", 0)
				if took := time.Since(start); took > time.Second {
					b.Errorf("took %s", took)
				}
				time.AfterFunc(10*time.Minute, room)
				b.want(write(b, l), nil)
				if took := time.Since(start); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
					b.Errorf("the write took %s", took)
				}
				if got := b.get(b.root + "nodes/n"); got != "by a" {
					b.Errorf("record = %q", got)
				}
				b.want(l.Release(b.Context(), lease.Write{}), nil)
				b.clean("n")
			})
		})
	}
}

// One who cannot wait for room gives the lock up, and its intent tells the next of the work.
func TestFullEtcdAndNoTime(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		room := b.full("a")
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		b.want(l.Release(ctx, b.put("nodes/n", "by a")), rpctypes.ErrNoSpace)
		if took := time.Since(start); took != time.Minute {
			b.Errorf("took %s", took)
		}
		b.queued("n", 0)
		room()
		next := b.acquire(b.session("b"), lease.Request{Name: "n"})
		if next.Abandoned() == nil {
			b.Error("the next holder was not told of the work")
		}
		b.want(next.Release(b.Context(), lease.Write{}), nil)
	})
}

// One whose entry was deleted by hand does not wait for room.
func TestFullEtcdAndLost(t *testing.T) {
	inLab(t, func(b *lab) {
		a := b.session("a")
		l := b.acquire(a, lease.Request{Name: "n"})
		b.full("a")
		time.AfterFunc(time.Minute, func() { _, _ = b.client().Delete(b.Context(), l.Key()) })
		start := time.Now()
		_, err := l.Commit(b.Context(), b.put("nodes/n", "by a"))
		b.want(err, rpctypes.ErrNoSpace)
		b.want(cause(l), lease.ErrLost)
		if took := time.Since(start); took > time.Minute+time.Second {
			b.Errorf("took %s", took)
		}
	})
}
