package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/internal/audit"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// chronicle is etcd's history with the time at which each event came to us. All
// that is measured is measured on it.
type chronicle struct {
	mu      sync.Mutex
	nodes   map[string][]*node.Node // all versions
	open    map[string]lease.Intent // open sections by node
	events  []dated
	all     []*clientv3.Event // below the root
	changed chan struct{}     // closed and replaced at each change
}

type dated struct {
	at  time.Time
	rev int64
	key string // below the root
	put string // the value; empty: deleted
}

// follow begins a chronicle.
func (e *etcd) follow() *chronicle {
	ch := &chronicle{nodes: map[string][]*node.Node{}, open: map[string]lease.Intent{}, changed: make(chan struct{})}
	client := e.client()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	e.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		next := int64(1)
		for ctx.Err() == nil {
			for w := range client.Watch(clientv3.WithRequireLeader(ctx), root, clientv3.WithPrefix(), clientv3.WithRev(next)) {
				for _, ev := range w.Events {
					ch.add(ev)
					next = ev.Kv.ModRevision + 1
				}
				if errors.Is(w.Err(), context.Canceled) {
					return
				}
			}
		}
	}()
	return ch
}

func (ch *chronicle) add(ev *clientv3.Event) {
	d := dated{at: time.Now(), rev: ev.Kv.ModRevision, key: strings.TrimPrefix(string(ev.Kv.Key), root)}
	if ev.Type == mvccpb.PUT {
		d.put = string(ev.Kv.Value)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.all = append(ch.all, ev)
	dir, name, _ := strings.Cut(d.key, "/")
	switch {
	case dir == "nodes" && d.put != "":
		var n node.Node
		if json.Unmarshal(ev.Kv.Value, &n) == nil {
			n.Revision = d.rev
			ch.nodes[name] = append(ch.nodes[name], &n)
		}
	case dir == "intents" && d.put == "":
		delete(ch.open, name)
	case dir == "intents":
		var i lease.Intent
		_ = json.Unmarshal(ev.Kv.Value, &i)
		ch.open[name] = i
	}
	if dir != "nodes" {
		ch.events = append(ch.events, d)
	}
	close(ch.changed)
	ch.changed = make(chan struct{})
}

// since are the versions of a node after a revision, and what tells of more.
func (ch *chronicle) since(id string, rev int64) ([]*node.Node, <-chan struct{}) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	all := ch.nodes[id]
	i := len(all)
	for i > 0 && all[i-1].Revision > rev {
		i--
	}
	return all[i:len(all):len(all)], ch.changed
}

// revision is up to where etcd's history is known.
func (ch *chronicle) revision() int64 {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.all[len(ch.all)-1].Kv.ModRevision
}

// latest is a node's newest version that is known, an empty one before the first.
func (f *fleet) latest(id string) *node.Node {
	all, _ := f.chronicle.since(id, 0)
	if len(all) == 0 {
		return &node.Node{ProvisionState: node.StateEnroll}
	}
	return all[len(all)-1]
}

// sections are the open sections of a host, by node.
func (ch *chronicle) sections(host string) map[string]lease.Intent {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	all := maps.Clone(ch.open)
	maps.DeleteFunc(all, func(_ string, i lease.Intent) bool { return i.Holder != host })
	return all
}

// atWork waits until a conductor is in the midst of work on several nodes.
func (f *fleet) atWork(host string) {
	f.t.Helper()
	eventually(f.t, 40*time.Second, host+" is at several nodes", func() error {
		if n := len(f.chronicle.sections(host)); n < 5 {
			return fmt.Errorf("it is at %d", n)
		}
		return nil
	})
}

// idle waits until a conductor has no section open, and says how long that took.
func (f *fleet) idle(host string, limit time.Duration) time.Duration {
	f.t.Helper()
	return eventually(f.t, limit, host+" has ended its work", func() error {
		if left := f.chronicle.sections(host); len(left) > 0 {
			return fmt.Errorf("it is at %d nodes", len(left))
		}
		return nil
	})
}

// first is the first event after some time that match accepts.
func (ch *chronicle) first(after time.Time, match func(dated) bool) (dated, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, d := range ch.events {
		if d.at.After(after) && match(d) {
			return d, true
		}
	}
	return dated{}, false
}

// whole has all events that ever were checked for the promises that locks make:
// for an etcd that was compacted, whose history audit sees in part.
func (f *fleet) whole() {
	f.t.Helper()
	f.chronicle.mu.Lock()
	defer f.chronicle.mu.Unlock()
	r, err := audit.Replay(root, f.chronicle.all)
	if err != nil || !r.OK() || r.Grants == 0 {
		f.t.Errorf("the audit of all events says %s, %v", r, err)
	}
	f.t.Logf("audit of all events: %s", r)
}

// gone waits for the end of a host's session, as etcd tells it.
func (f *fleet) gone(host string, after time.Time, limit time.Duration) (at time.Time) {
	f.t.Helper()
	eventually(f.t, limit, "etcd ends the session of "+host, func() error {
		d, ok := f.chronicle.first(after, func(d dated) bool { return d.key == "conductors/"+host && d.put == "" })
		if at = d.at; !ok {
			return errNotYet
		}
		return nil
	})
	return at
}

// inGoodHands waits until no section of a dead session is left: each has ended, or
// is another's. It returns when that was so for the last, and which node that was.
func (f *fleet) inGoodHands(left map[string]lease.Intent, after time.Time, limit time.Duration) (last time.Time, whose string) {
	f.t.Helper()
	for id, old := range left {
		var at time.Time
		eventually(f.t, limit, "node "+id+" is in good hands", func() error {
			d, ok := f.chronicle.first(after, func(d dated) bool {
				if d.key != "intents/"+id {
					return false
				}
				var i lease.Intent
				return d.put == "" || json.Unmarshal([]byte(d.put), &i) == nil && i.Session != old.Session
			})
			if at = d.at; !ok {
				return errNotYet
			}
			return nil
		})
		if at.After(last) {
			last, whose = at, id
		}
	}
	return last, whose
}
