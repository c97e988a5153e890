package lease

import (
	"iter"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Replay follows all lock queues through etcd's history, one event at a time, and derives from
// them what this package itself derives. It needs no session and trusts no holder. It keeps what
// stands and no history. A Replay is for one goroutine.
type Replay struct {
	keys   layout
	queues map[string]map[string]reading // by name and key
}

// NewReplay returns a replay of the locks below root (empty: DefaultRoot) in which no key stands.
func NewReplay(root string) (*Replay, error) {
	keys, err := newLayout(root)
	if err != nil {
		return nil, err
	}
	return newReplay(keys), nil
}

func newReplay(keys layout) *Replay { return &Replay{keys, map[string]map[string]reading{}} }

// Prefix is the prefix of all keys that matter to a Replay.
func (r *Replay) Prefix() string { return r.keys.locks() }

// Put takes a key and its value. It returns the name whose queue that changes, and false for a
// key that is in no queue.
func (r *Replay) Put(kv *mvccpb.KeyValue) (name string, ok bool) {
	name, ok = r.keys.name(string(kv.Key))
	if !ok {
		return "", false
	}
	if r.queues[name] == nil {
		r.queues[name] = map[string]reading{}
	}
	r.queues[name][string(kv.Key)] = read(r.keys, name, kv)
	return name, true
}

// Apply takes one event of a watch, as Put does.
func (r *Replay) Apply(ev *clientv3.Event) (name string, ok bool) {
	if ev.Type != clientv3.EventTypeDelete {
		return r.Put(ev.Kv)
	}
	key := string(ev.Kv.Key)
	if name, ok = r.keys.name(key); !ok {
		return "", false
	}
	if delete(r.queues[name], key); len(r.queues[name]) == 0 {
		delete(r.queues, name)
	}
	return name, true
}

// Queue derives the queue of a name. rev is the revision up to which events have been applied; a
// queue stands only at the end of a revision, after the last of its events.
func (r *Replay) Queue(name string, rev int64) Queue {
	return order(r.keys, name, slices.Collect(maps.Values(r.queues[name])), rev)
}

// Names yields the names that have a key in their queue, in no order.
func (r *Replay) Names() iter.Seq[string] { return maps.Keys(r.queues) }

// Entries yields every key that stands in a queue, in no order; a slot is among them.
func (r *Replay) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, rs := range r.queues {
			for _, e := range rs {
				if !yield(e.Entry) {
					return
				}
			}
		}
	}
}
