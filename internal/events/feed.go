package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/conductor-metal/conductor/pkg/node"
)

var (
	// ErrFuture means that etcd has not come to the revision that a reader
	// remembers: it is of another cluster, or of before etcd was restored.
	ErrFuture = errors.New("revision is of another history")
	// ErrSlow means that a reader does not take events as fast as they come.
	ErrSlow = errors.New("reader too slow for the events that come")
)

const (
	maxGap     = 4096                   // revisions that a watch is let catch up with, for etcd's client buffers all of them
	retryPause = 500 * time.Millisecond // before a watch that broke is opened again
)

// Feed reads the events of a cluster.
type Feed struct {
	Client *clientv3.Client
	Keys   node.Keys

	window int // a test's own; 0: window
}

// Now is the revision that etcd is at.
func (f Feed) Now(ctx context.Context) (int64, error) {
	r, err := f.Client.Get(ctx, f.Keys.Events(node.NoNode), clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	return r.Header.Revision, nil
}

// Begin checks the revision after which a reader wants to go on. It is ErrFuture
// if there cannot be any.
func (f Feed) Begin(ctx context.Context, since int64) error {
	now, err := f.Now(ctx)
	if err == nil && since > now {
		err = fmt.Errorf("%w: etcd is at %d, which is before %d", ErrFuture, now, since)
	}
	return err
}

// Follow yields the events after a revision, and goes on with those that come,
// until ctx ends: then it just stops. After 0 are all that are kept. A batch
// without events comes first and tells from where on it follows, and again
// whenever a while has passed without any that are wanted.
//
// It yields an error once, and ends: ErrSlow for a reader who lags far behind,
// or a refusal of etcd that trying again does not cure. A connection that broke
// is opened again without a word, and after a compaction the rest is read from
// the keys.
func (f Feed) Follow(ctx context.Context, since int64, want Filter) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		w := follower{Feed: f, want: want, last: since, yield: yield}
		err := w.begin(ctx)
		for err == nil && !w.stopped && ctx.Err() == nil {
			if w.listing {
				err = w.list(ctx)
			} else {
				err = w.watch(ctx)
			}
			switch {
			case errors.Is(err, rpctypes.ErrCompacted):
				w.listing, err = true, nil
			case err != nil && transient(err):
				err = nil
				select {
				case <-time.After(retryPause):
				case <-ctx.Done():
				}
			}
		}
		if err != nil && !w.stopped && ctx.Err() == nil {
			yield(Batch{}, fmt.Errorf("follow events: %w", err))
		}
	}
}

// follower is the state of one Follow.
type follower struct {
	Feed
	want    Filter
	last    int64 // the revision up to which all is told
	listing bool  // what comes next is read from the keys, not from the watch
	yield   func(Batch, error) bool
	stopped bool // the reader has had enough
}

// begin decides where the first events come from. What is long ago is read from
// the keys at the pace of the reader; a watch would hold all of it in memory.
func (w *follower) begin(ctx context.Context) error {
	now, err := w.Now(ctx)
	if err != nil {
		return err
	}
	w.listing = w.last == 0 || now-w.last > maxGap
	if w.last > now {
		return fmt.Errorf("%w: etcd is at %d", ErrFuture, now)
	}
	w.tell(Batch{Revision: w.last})
	return nil
}

func (w *follower) tell(b Batch) {
	if w.stopped {
		return
	}
	w.stopped = !w.yield(b, nil)
	w.last = max(w.last, b.Revision)
}

// list tells what stands below events/ now.
func (w *follower) list(ctx context.Context) error {
	for b, err := range w.Kept(ctx, w.last, w.want) {
		if err != nil {
			return err
		}
		if w.tell(b); w.stopped {
			return nil
		}
	}
	w.listing = false
	return nil
}

// transient says whether trying again may help.
func transient(err error) bool {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code() == codes.Unavailable
	}
	return status.Code(err) == codes.Unavailable
}
