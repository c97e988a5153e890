package events

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	pageKeys = 1000  // keys that one request reads, without their values
	window   = 10000 // of them that are held in memory
	values   = 64    // that one request reads
)

// List returns the first events after a revision that are kept, some more than
// limit if the last revision has more, and the revision up to which these are
// all; more says that there are others after it.
func (f Feed) List(ctx context.Context, since int64, limit int, want Filter) (all []Batch, upto int64, more bool, err error) {
	n := 0
	for b, err := range f.Kept(ctx, since, want) {
		switch {
		case err != nil:
			return nil, 0, false, fmt.Errorf("list events: %w", err)
		case n >= limit && len(b.Events) > 0:
			return all, upto, true, nil
		case len(b.Events) > 0:
			all = append(all, b)
			n += len(b.Events)
		}
		upto = b.Revision
	}
	return all, upto, false, nil
}

// Kept yields the events after a revision as they stand below events/, and in
// the end an empty batch with the revision up to which this is all. Keys are
// ordered by node: so it looks through all of them for those that come next, as
// many as a window has room for, and again for what follows these. Events never
// change, so what is read at different revisions fits together; those that go
// away meanwhile are left out.
func (f Feed) Kept(ctx context.Context, since int64, want Filter) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for more := true; more; {
			var refs []ref
			var err error
			if refs, since, more, err = f.next(ctx, since, want); err != nil {
				yield(Batch{}, err)
				return
			}
			for len(refs) > 0 {
				n := whole(refs)
				batches, err := f.read(ctx, refs[:n], want)
				if err != nil {
					yield(Batch{}, err)
					return
				}
				for _, b := range batches {
					if !yield(b, nil) {
						return
					}
				}
				refs = refs[n:]
			}
			if !yield(Batch{Revision: since}, nil) {
				return
			}
		}
	}
}

// ref is an event whose value was not read yet.
type ref struct {
	revision int64
	key      string
}

// next finds the events after a revision, of which there may be more than the
// window takes, in order, and the revision up to which they are all.
func (f Feed) next(ctx context.Context, since int64, want Filter) (refs []ref, upto int64, more bool, err error) {
	cut := int64(0) // what is as late or later does not fit
	for _, prefix := range f.places(want) {
		from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
		for from != "" {
			r, err := f.Client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(int64(min(pageKeys, f.room()))))
			if err != nil {
				return nil, 0, false, err
			}
			if upto == 0 {
				upto = r.Header.Revision
			}
			for _, kv := range r.Kvs {
				if kv.ModRevision > since && kv.ModRevision <= upto && (cut == 0 || kv.ModRevision < cut) {
					refs = append(refs, ref{kv.ModRevision, string(kv.Key)})
				}
			}
			if len(refs) >= 2*f.room() {
				refs, cut = f.earliest(refs)
			}
			from = ""
			if r.More {
				from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
			}
		}
	}
	if len(refs) > f.room() {
		refs, cut = f.earliest(refs)
	} else {
		slices.SortFunc(refs, before)
	}
	if cut > 0 {
		return refs, cut - 1, true, nil
	}
	return refs, upto, false, nil
}

// places are the prefixes below which wanted events can be.
func (f Feed) places(want Filter) []string {
	if want.Node != "" {
		return []string{f.Keys.Events(want.Node), f.Keys.Events(node.NoNode)}
	}
	return []string{strings.TrimSuffix(f.Keys.Events(""), "/")}
}

// before is the order of revisions, and within one that in which it was told.
func before(a, b ref) int {
	if a.revision != b.revision {
		if a.revision < b.revision {
			return -1
		}
		return 1
	}
	return strings.Compare(a.key, b.key)
}

// earliest keeps those of whole revisions for which the window has room, but at
// least one revision, and says from which revision on it has none.
func (f Feed) earliest(refs []ref) (kept []ref, cut int64) {
	slices.SortFunc(refs, before)
	n := f.room()
	cut = refs[n].revision
	if refs[0].revision == cut {
		cut++
	}
	for n > 0 && refs[n-1].revision >= cut {
		n--
	}
	for n < len(refs) && refs[n].revision < cut {
		n++
	}
	return refs[:n:n], cut
}

func (f Feed) room() int {
	if f.window > 0 {
		return f.window
	}
	return window
}

// whole is how many of the first refs to read at once: not half a revision.
func whole(refs []ref) int {
	n := min(len(refs), values)
	for n < len(refs) && refs[n].revision == refs[n-1].revision {
		n++
	}
	return n
}

// read reads the values of refs, which are those of whole revisions.
func (f Feed) read(ctx context.Context, refs []ref, want Filter) ([]Batch, error) {
	var kvs []*mvccpb.KeyValue
	for chunk := range slices.Chunk(refs, values) {
		var ops []clientv3.Op
		for _, r := range chunk {
			ops = append(ops, clientv3.OpGet(r.key))
		}
		got, err := f.Client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, err
		}
		for i, r := range got.Responses {
			for _, kv := range r.GetResponseRange().Kvs {
				if kv.ModRevision == chunk[i].revision { // written over by hand: not an event, or one that comes later
					kvs = append(kvs, kv)
				}
			}
		}
	}
	return f.batches(want, kvs), nil
}

// batches makes batches of key-values in the order of their revisions.
func (Feed) batches(want Filter, kvs []*mvccpb.KeyValue) (all []Batch) {
	for len(kvs) > 0 {
		n := 1
		for n < len(kvs) && kvs[n].ModRevision == kvs[0].ModRevision {
			n++
		}
		all = append(all, want.batch(kvs[0].ModRevision, kvs[:n]))
		kvs = kvs[n:]
	}
	return all
}
