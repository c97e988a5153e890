package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// Options bound a check. The zero value checks all that etcd still has.
type Options struct {
	From int64 // the first revision; 0, or one that is compacted: the oldest that etcd has
	To   int64 // the last revision; 0, or one that is yet to come: the present one

	// Keep is how many violations the report lists; all are counted. 0: 1000.
	Keep int
}

const (
	page     = 1000                   // keys per read of the first state
	progress = 100 * time.Millisecond // how often etcd is asked how far the watch has come
)

// Check replays the history below root (empty: lease.DefaultRoot) and reports what it found. It
// only reads, and needs read access below root. It starts from the state at the first revision,
// checks every revision after it, and blocks until it has reached the last or ctx ends.
//
// Violations are in the report, not in the error, which says why the history could not be read.
// Memory grows with the number of names and of entries in queues, not with the history.
func Check(ctx context.Context, client *clientv3.Client, root string, o Options) (*Report, error) {
	replay, err := lease.NewReplay(root)
	if err != nil {
		return nil, err
	}
	root = strings.TrimSuffix(replay.Prefix(), "locks/")
	head, err := client.Get(ctx, root, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return nil, fmt.Errorf("read the present revision: %w", err)
	}
	if o.To <= 0 || o.To > head.Header.Revision {
		o.To = head.Header.Revision
	}
	if o.From > o.To {
		return nil, fmt.Errorf("audit from revision %d: the last is %d", o.From, o.To)
	}
	r := &reader{client: client, root: root, to: o.To, a: newAuditor(root, o.Keep, replay)}
	if err := r.run(ctx, max(o.From, 1)); err != nil {
		return nil, err
	}
	return r.a.finish(), nil
}

// reader brings the history of etcd to the auditor.
type reader struct {
	client *clientv3.Client
	root   string
	to     int64
	a      *auditor
}

// compactedError says where the history begins by now.
type compactedError struct{ first int64 }

func (e *compactedError) Error() string { return fmt.Sprintf("compacted up to revision %d", e.first) }

// run reads from a revision, and once more from where the history begins by then each time that it
// is compacted ahead of the reading.
func (r *reader) run(ctx context.Context, from int64) error {
	for {
		err := r.span(ctx, from)
		gone, ok := errors.AsType[*compactedError](err)
		if !ok {
			return err
		}
		if gone.first > r.to && !r.a.started {
			return fmt.Errorf("audit up to revision %d: %w; the oldest is %d", r.to, rpctypes.ErrCompacted, gone.first)
		}
		r.a.skip(min(gone.first, r.to))
		if gone.first > r.to {
			return nil
		}
		from = gone.first
	}
}

// span takes the state at a revision and follows from there.
func (r *reader) span(ctx context.Context, from int64) error {
	kvs, err := r.locks(ctx, from)
	if err != nil {
		return err
	}
	if err := r.a.begin(kvs, from); err != nil {
		return err
	}
	if from < r.to {
		if err := r.follow(ctx, from+1); err != nil {
			return err
		}
	}
	return r.compare(ctx)
}

// locks reads all lock keys as they stood at a revision.
func (r *reader) locks(ctx context.Context, rev int64, opts ...clientv3.OpOption) (kvs []*mvccpb.KeyValue, err error) {
	prefix := r.root + "locks/"
	key, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	opts = append(opts, clientv3.WithRange(end), clientv3.WithRev(rev), clientv3.WithLimit(page))
	for {
		resp, err := r.client.Get(ctx, key, opts...)
		if errors.Is(err, rpctypes.ErrCompacted) {
			return nil, r.compacted(ctx, rev)
		}
		if err != nil {
			return nil, fmt.Errorf("read the locks at revision %d: %w", rev, err)
		}
		if kvs = append(kvs, resp.Kvs...); !resp.More {
			return kvs, nil
		}
		key = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// compacted asks where the history begins, which only a refused watch tells.
func (r *reader) compacted(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, ok := <-r.client.Watch(ctx, r.root, clientv3.WithRev(rev))
	switch {
	case resp.CompactRevision != 0:
		return &compactedError{resp.CompactRevision}
	case ok && resp.Err() != nil:
		return fmt.Errorf("find the oldest revision: %w", resp.Err())
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("find the oldest revision: %w", rpctypes.ErrCompacted)
}

// follow gives every revision up to the last to the auditor. Events do not tell that there are no
// more of them, so etcd is asked how far it has come.
func (r *reader) follow(ctx context.Context, from int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := r.client.Watch(ctx, r.root, clientv3.WithPrefix(), clientv3.WithRev(from))
	ask := time.NewTicker(progress)
	defer ask.Stop()
	for {
		select {
		case <-ask.C:
			if err := r.client.RequestProgress(ctx); err != nil {
				return fmt.Errorf("watch the history: %w", err)
			}
		case w, ok := <-events:
			switch {
			case w.CompactRevision != 0:
				return &compactedError{w.CompactRevision}
			case w.Err() != nil:
				return fmt.Errorf("watch the history: %w", w.Err())
			case !ok && ctx.Err() != nil:
				return context.Cause(ctx)
			case !ok:
				return errors.New("watch the history: etcd ended the watch")
			case w.IsProgressNotify() && w.Header.Revision >= r.to:
				return nil
			}
			if r.take(w.Events) {
				return nil
			}
		}
	}
}

// take splits events, which come in whole revisions, and reports whether the last has been reached.
func (r *reader) take(evs []*clientv3.Event) (done bool) {
	for len(evs) > 0 {
		rev, n := evs[0].Kv.ModRevision, 1
		if rev > r.to {
			return true
		}
		for n < len(evs) && evs[n].Kv.ModRevision == rev {
			n++
		}
		r.a.revision(evs[:n], rev)
		evs = evs[n:]
	}
	return r.a.rev >= r.to
}

// compare makes sure that no event was left out: what the events add up to must be what etcd has.
func (r *reader) compare(ctx context.Context) error {
	kvs, err := r.locks(ctx, r.to, clientv3.WithKeysOnly())
	if _, gone := errors.AsType[*compactedError](err); gone {
		return nil // compacted just now, after all of it was read
	}
	if err != nil {
		return err
	}
	return r.a.compare(kvs)
}
