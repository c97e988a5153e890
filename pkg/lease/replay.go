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
	queues map[string][]kept // by name, in the order in which they came: mostly that of rank
}

// kept is a key of a queue, with as much of it understood as decides.
type kept struct {
	kv *mvccpb.KeyValue
	reading
}

// NewReplay returns a replay of the locks below root (empty: DefaultRoot) in which no key stands.
func NewReplay(root string) (*Replay, error) {
	keys, err := newLayout(root)
	if err != nil {
		return nil, err
	}
	return newReplay(keys), nil
}

func newReplay(keys layout) *Replay { return &Replay{keys, map[string][]kept{}} }

// Prefix is the prefix of all keys that matter to a Replay.
func (r *Replay) Prefix() string { return r.keys.locks() }

// Put takes a key and its value. It returns the name whose queue that changes, and false for a
// key that is in no queue.
func (r *Replay) Put(kv *mvccpb.KeyValue) (name string, ok bool) {
	name, ok = r.keys.name(string(kv.Key))
	if !ok {
		return "", false
	}
	if i := r.find(name, kv.Key); i >= 0 {
		r.queues[name][i] = kept{kv, read(r.keys, name, kv, false)}
	} else {
		r.add(name, kv)
	}
	return name, true
}

// add takes a key that does not stand yet.
func (r *Replay) add(name string, kv *mvccpb.KeyValue) {
	r.queues[name] = append(r.queues[name], kept{kv, read(r.keys, name, kv, false)})
}

// Apply takes one event of a watch, as Put does.
func (r *Replay) Apply(ev *clientv3.Event) (name string, ok bool) {
	if ev.Type != clientv3.EventTypeDelete {
		return r.Put(ev.Kv)
	}
	if name, ok = r.keys.name(string(ev.Kv.Key)); !ok {
		return "", false
	}
	if i := r.find(name, ev.Kv.Key); i >= 0 {
		if r.queues[name] = slices.Delete(r.queues[name], i, i+1); len(r.queues[name]) == 0 {
			delete(r.queues, name)
		}
	}
	return name, true
}

func (r *Replay) find(name string, key []byte) int {
	return slices.IndexFunc(r.queues[name], func(p kept) bool { return p.Key == string(key) })
}

// standing is Queue without what explains its entries.
func (r *Replay) standing(name string, rev int64) Queue {
	return order(r.keys, name, len(r.queues[name]), func(i int) *reading { return &r.queues[name][i].reading }, rev)
}

// Queue derives the queue of a name. rev is the revision up to which events have been applied; a
// queue stands only at the end of a revision, after the last of its events.
func (r *Replay) Queue(name string, rev int64) Queue {
	kvs := make([]*mvccpb.KeyValue, len(r.queues[name]))
	for i, p := range r.queues[name] {
		kvs[i] = p.kv
	}
	return readQueue(r.keys, name, kvs, rev)
}

func (r *Replay) vacant(name string) bool { return len(r.queues[name]) == 0 }

// lastInLine reports whether an event is that somebody has come who wants the lock for himself, and
// waits behind others. That changes nothing for anybody.
func (r *Replay) lastInLine(name string, ev *clientv3.Event) bool {
	if ev.Type == clientv3.EventTypeDelete || !ev.IsCreate() || len(r.queues[name]) < 2 {
		return false
	}
	if r.find(name, []byte(r.keys.upgrade(name))) >= 0 { // it may be all that stands there, and mean nothing
		return false
	}
	e := read(r.keys, name, ev.Kv, false).Entry
	return e.Mode == Exclusive && e.Rank == e.Create
}

// Names yields the names that have a key in their queue, in no order.
func (r *Replay) Names() iter.Seq[string] { return maps.Keys(r.queues) }

// Entries yields every key that stands in a queue, in no order; a slot is among them.
func (r *Replay) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for name, ps := range r.queues {
			for _, p := range ps {
				if !yield(read(r.keys, name, p.kv, true).Entry) {
					return
				}
			}
		}
	}
}
