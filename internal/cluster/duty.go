package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Duty is work that one conductor of the cluster does for all, such as looking
// for nodes that waited too long. That nobody else does it saves work and is
// promised to no one: for a moment two may do it, and what it does must be safe
// then, by the nodes' locks.
type Duty struct {
	Client *clientv3.Client // required
	Root   string           // prefix of all keys
	Name   string           // of the duty, the same in all conductors
	Host   string           // of this conductor
	TTL    time.Duration    // how long the duty outlives a conductor that died with it; at least 1 s
	// Able says whether this conductor can work now. One that cannot does not
	// stand for election, and lets a duty go that it has. nil: always.
	Able func() error
	// Work is done while the duty is ours. Its context ends when it is not any
	// more. When it returns before, the duty goes to another. Required.
	Work   func(context.Context) error
	Logger *slog.Logger // nil: discarded
}

var errDutyLost = errors.New("the duty went to another conductor")

// Run stands for the duty, and does it whenever it is elected, until ctx ends.
// The election is one of package concurrency, on a lease of its own: the session's
// must be renewed by nobody but the session.
func (d Duty) Run(ctx context.Context) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	for ctx.Err() == nil {
		if d.able() == nil {
			if err := d.term(ctx); err != nil && ctx.Err() == nil {
				d.Logger.WarnContext(ctx, "duty", "duty", d.Name, "err", err)
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (d Duty) able() error {
	if d.Able == nil {
		return nil
	}
	return d.Able()
}

// term waits to be elected and serves until something ends it.
func (d Duty) term(ctx context.Context) error {
	session, err := d.session(ctx)
	if err != nil {
		return err
	}
	defer func() {
		session.Orphan()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = d.Client.Revoke(ctx, session.Lease()) // or it runs out
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { d.guard(ctx, session.Done(), cancel) })
	e := concurrency.NewElection(session, d.Root+"election/"+d.Name)
	if err := e.Campaign(ctx, d.Host); err != nil {
		return fmt.Errorf("election: %w", errors.Join(err, context.Cause(ctx)))
	}
	d.Logger.InfoContext(ctx, "elected", "duty", d.Name, "conductor", d.Host)
	return d.Work(ctx)
}

func (d Duty) session(ctx context.Context) (*concurrency.Session, error) {
	ttl := int(math.Ceil(d.TTL.Seconds()))
	try, cancel := context.WithTimeout(ctx, d.TTL)
	defer cancel()
	lease, err := d.Client.Grant(try, int64(ttl))
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(d.Client, concurrency.WithLease(lease.ID), concurrency.WithContext(ctx))
}

// guard ends a term when its lease does, or when this conductor can do no work.
func (d Duty) guard(ctx context.Context, done <-chan struct{}, end context.CancelCauseFunc) {
	for {
		select {
		case <-done:
			end(errDutyLost)
			return
		case <-time.After(time.Second):
			if err := d.able(); err != nil {
				end(err)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
