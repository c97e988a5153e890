package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Locks looks at the locks of a cluster from outside any session, and breaks them. It needs no
// more than read access below Root, except for Break.
type Locks struct {
	Client *clientv3.Client
	Root   string // empty: DefaultRoot
	Host   string // the conductor through which locks are broken, for their events; empty: none
}

// Queue reads the lock queue of one name from the quorum. A name that nobody locks has an empty queue.
func (l Locks) Queue(ctx context.Context, name string) (Queue, error) {
	keys, err := newLayout(l.Root)
	if err != nil {
		return Queue{}, err
	}
	if err := checkName(name); err != nil {
		return Queue{}, err
	}
	r, err := l.Client.Get(ctx, keys.queue(name), clientv3.WithPrefix())
	if err != nil {
		return Queue{}, fmt.Errorf("read lock queue of %s: %w", name, err)
	}
	return readQueue(keys, name, r.Kvs, r.Header.Revision), nil
}

// List reads all queues that are not empty, at one revision, in order of name.
func (l Locks) List(ctx context.Context) ([]Queue, error) {
	keys, err := newLayout(l.Root)
	if err != nil {
		return nil, err
	}
	r, err := l.Client.Get(ctx, keys.locks(), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	return readQueues(keys, r.Kvs, r.Header.Revision), nil
}

// readQueues splits what a range over several queues returned, which is in order of key.
func readQueues(keys layout, kvs []*mvccpb.KeyValue, rev int64) []Queue {
	var qs []Queue
	for len(kvs) > 0 {
		name, ok := keys.name(string(kvs[0].Key))
		n := 1
		for n < len(kvs) && strings.HasPrefix(string(kvs[n].Key), keys.queue(name)) {
			n++
		}
		if ok {
			qs = append(qs, readQueue(keys, name, kvs[:n], rev))
		}
		kvs = kvs[n:]
	}
	return qs
}

// Intents reads the open exclusive sections by name: those of live holders and the abandoned ones.
func (l Locks) Intents(ctx context.Context) (map[string]Intent, error) {
	keys, err := newLayout(l.Root)
	if err != nil {
		return nil, err
	}
	r, err := l.Client.Get(ctx, keys.intents(), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("list intents: %w", err)
	}
	all := make(map[string]Intent, len(r.Kvs))
	for _, kv := range r.Kvs {
		var i Intent
		if json.Unmarshal(kv.Value, &i) != nil {
			i = Intent{Detail: string(kv.Value)}
		}
		all[strings.TrimPrefix(string(kv.Key), keys.intents())] = i
	}
	return all, nil
}

// Break is the record of a lock that an operator ended.
type Break struct {
	Name   string    `json:"name"`
	Ticket string    `json:"ticket,omitempty"`
	Key    string    `json:"key"`
	Holder string    `json:"holder"`
	By     string    `json:"by"`
	Why    string    `json:"why"`
	At     time.Time `json:"at"`
}

func readBreak(kvs []*mvccpb.KeyValue) *Break {
	var b Break
	if len(kvs) == 0 || json.Unmarshal(kvs[0].Value, &b) != nil {
		return nil
	}
	return &b
}

// Break ends one entry of a queue, a holder's or a waiter's. It is safe at any time: the owner's
// late writes are refused, it learns of the loss within moments, and its intent stays for the
// next holder. The entry is the one with the given create revision, so that nobody else's lock is
// broken by mistake; if it is gone, the error is a *HeldError with the queue as it stands.
// An event that says who broke it and why is kept under events/<name>/.
func (l Locks) Break(ctx context.Context, name string, create int64, by, why string) (Break, error) {
	keys, err := newLayout(l.Root)
	if err != nil {
		return Break{}, err
	}
	if by == "" || why == "" {
		return Break{}, fmt.Errorf("break the lock of %s: want who does it and a reason", name)
	}
	q, err := l.Queue(ctx, name)
	if err != nil {
		return Break{}, err
	}
	i := slices.IndexFunc(q.Entries, func(e Entry) bool { return e.Create == create })
	if i < 0 {
		return Break{}, &HeldError{Queue: q}
	}
	return l.breakEntry(ctx, keys, q, q.Entries[i], by, why)
}

func (l Locks) breakEntry(ctx context.Context, keys layout, q Queue, e Entry, by, why string) (Break, error) {
	name := q.Name
	b := Break{Name: name, Ticket: e.Ticket, Key: e.Key, Holder: e.Holder, By: by, Why: why, At: time.Now().UTC().Truncate(time.Millisecond)}
	mark, err := json.Marshal(b)
	if err != nil {
		return Break{}, err
	}
	event, err := l.tell(keys, e, b)
	if err != nil {
		return Break{}, err
	}
	then := []clientv3.Op{clientv3.OpDelete(e.Key), clientv3.OpPut(keys.broken(name), string(mark)), event}
	if u := q.Upgrade; u != nil && u.Ticket == e.Ticket {
		then = append(then, clientv3.OpDelete(u.Key))
	}
	slot := keys.upgrade(name)
	r, err := l.Client.Txn(ctx).
		// No upgrade may have begun since: its slot would be left behind.
		If(created(e.Key, e.Create), clientv3.Compare(clientv3.ModRevision(slot), "<", q.Revision+1)).
		Then(then...).
		Else(clientv3.OpGet(keys.queue(name), clientv3.WithPrefix())).Commit()
	if err != nil {
		return Break{}, fmt.Errorf("break the lock of %s: %w", name, err)
	}
	if r.Succeeded {
		return b, nil
	}
	q = readQueue(keys, name, r.Responses[0].GetResponseRange().Kvs, r.Header.Revision)
	if i := slices.IndexFunc(q.Entries, func(f Entry) bool { return f.Create == e.Create }); i >= 0 {
		return l.breakEntry(ctx, keys, q, q.Entries[i], by, why)
	}
	return Break{}, &HeldError{Queue: q}
}
