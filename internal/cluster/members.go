package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Read answers who lives now.
func Read(ctx context.Context, client *clientv3.Client, root string) (*View, error) {
	prefix := root + "conductors/"
	r, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read conductors: %w", err)
	}
	v := &View{Revision: r.Header.Revision}
	for _, kv := range r.Kvs {
		v.Members = append(v.Members, decode(prefix, kv))
	}
	return v, nil
}

// Members follows who lives. What it shows may be a moment old, and is as old as
// the connection when etcd does not answer. Its methods are safe for concurrent use.
type Members struct {
	client *clientv3.Client
	root   string
	log    *slog.Logger
	view   atomic.Pointer[View]
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed with the next change
}

// Follow reads the members and follows them until Close. It blocks until the
// first answer of etcd or the end of ctx, whose error it returns.
func Follow(ctx context.Context, client *clientv3.Client, root string, log *slog.Logger) (*Members, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	v, err := Read(ctx, client, root)
	if err != nil {
		return nil, err
	}
	m := &Members{client: client, root: root, log: log, changed: make(chan struct{})}
	m.view.Store(v)
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.wg.Go(func() { m.follow(ctx) })
	return m, nil
}

// Close ends the following; the last view stays.
func (m *Members) Close() {
	m.stop()
	m.wg.Wait()
}

// View is who lives, as far as is known, and a channel that is closed when that changes.
func (m *Members) View() (*View, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.Load(), m.changed
}

func (m *Members) set(v *View) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.view.Load()
	m.view.Store(v)
	if !slices.EqualFunc(old.Members, v.Members, func(a, b Member) bool {
		return a.Host == b.Host && a.Epoch == b.Epoch && a.State == b.State
	}) {
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

// follow watches from the view's revision on. Whatever ends a watch, the next
// one begins with a new reading, so that nothing can be missed for good.
func (m *Members) follow(ctx context.Context) {
	for {
		m.watch(ctx)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return
		}
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		v, err := Read(try, m.client, m.root)
		cancel()
		if err != nil {
			m.log.WarnContext(ctx, "members not read", "err", err)
			continue
		}
		m.set(v)
	}
}

// watch takes the changes of one stream into the view until the stream ends.
func (m *Members) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	prefix := m.root + "conductors/"
	v, _ := m.View()
	for resp := range m.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(v.Revision+1)) {
		if resp.Err() != nil {
			return
		}
		v = &View{Members: slices.Clone(v.Members), Revision: resp.Header.Revision}
		for _, e := range resp.Events {
			v.apply(e.Type == clientv3.EventTypeDelete, decode(prefix, e.Kv))
		}
		m.set(v)
	}
}

// apply takes one change into a view that nobody else has yet.
func (v *View) apply(gone bool, m Member) {
	i, found := slices.BinarySearchFunc(v.Members, m.Host, func(m Member, host string) int {
		switch {
		case m.Host < host:
			return -1
		case m.Host > host:
			return 1
		}
		return 0
	})
	switch {
	case gone && found:
		v.Members = slices.Delete(v.Members, i, i+1)
	case !gone && found:
		v.Members[i] = m
	case !gone:
		v.Members = slices.Insert(v.Members, i, m)
	}
}
