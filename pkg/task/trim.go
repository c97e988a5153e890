package task

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/conductor-metal/conductor/pkg/node"
)

const (
	trimTime  = 10 * time.Second
	trimFirst = 16     // events of a node after which this process counts what is stored
	trimMost  = 10_000 // that one look removes
)

// trimmer keeps the events of a node from growing in number without end. No write reads for it:
// each process counts what it writes, and has a look after each eighth of Config.Events. So a node
// never has more than an eighth too many for each conductor that works on it.
type trimmer struct {
	mu     sync.Mutex
	counts map[node.ID]int // until the next look
	busy   map[node.ID]bool
}

// stored counts notifications that were stored below the events of a node.
func (m *Manager) stored(id node.ID, all ...*Notification) {
	if len(all) == 0 {
		return
	}
	for _, n := range all {
		m.cfg.Metrics.told(n.Type)
	}
	t := &m.trimmer
	t.mu.Lock()
	defer t.mu.Unlock()
	step := max(1, m.cfg.Events/8)
	left, known := t.counts[id]
	if !known {
		left = min(step, trimFirst)
	}
	if left -= len(all); left > 0 || t.busy[id] {
		t.counts[id] = left
		return
	}
	t.counts[id], t.busy[id] = step, true
	m.tasks.Go(func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.busy, id)
		}()
		ctx, cancel := context.WithTimeout(m.ctx, trimTime)
		defer cancel()
		if err := m.trim(ctx, m.keys.Events(id)); err != nil {
			m.cfg.Logger.WarnContext(ctx, "trim events", "node", id, "err", err)
		}
	})
}

// forget is for a node that is gone.
func (t *trimmer) forget(id node.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.counts, id)
}

// trim removes the oldest events below a prefix, so that Config.Events are left. Both reads are of
// one revision: whoever else trims at the same time removes the same ones.
func (m *Manager) trim(ctx context.Context, prefix string) error {
	r, err := m.cfg.Client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	excess := r.Count - int64(m.cfg.Events)
	if excess <= 0 {
		return nil
	}
	oldest, err := m.cfg.Client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithLimit(min(excess, trimMost)), clientv3.WithRev(r.Header.Revision))
	if err != nil {
		return err
	}
	last := oldest.Kvs[len(oldest.Kvs)-1]
	_, err = m.cfg.Client.Delete(ctx, prefix, clientv3.WithRange(after(last)))
	return err
}

// after is the first key that may follow a key.
func after(kv *mvccpb.KeyValue) string { return string(kv.Key) + "\x00" }
