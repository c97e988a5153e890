package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// progressPatience is how long a watch may be behind before a listing is worth more than waiting.
const progressPatience = 100 * time.Millisecond

// Queues returns all queues that are not empty, in order of name, from the copy by which the
// session follows them. They are as of the given revision or a later one; from 0 on, etcd is asked
// for the present one, so that they are as true as what Locks.List reads. They are for people to
// look at: what decides about a lock is read from etcd.
//
// It blocks until the copy has come to the revision, which is a matter of milliseconds while etcd
// answers, or until ctx or the session ends.
func (s *Session) Queues(ctx context.Context, from int64) ([]Queue, error) {
	if from == 0 {
		r, err := s.client.Get(ctx, s.key)
		if err != nil {
			return nil, fmt.Errorf("list locks: %w", err)
		}
		from = r.Header.Revision
	}
	if err := s.mirror.reach(ctx, from); err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	return s.mirror.all(), nil
}

// ownStream puts a watch into a stream of its own: etcd tells how far a stream has come only if
// none of its watches lags behind.
func ownStream(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(
		rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader, "conductor-watch", "locks"))
}

// reach waits until everything up to a revision is in the mirror.
func (m *mirror) reach(ctx context.Context, rev int64) error {
	pause := 5 * time.Millisecond
	ask := time.NewTimer(0)
	defer ask.Stop()
	late := time.NewTimer(progressPatience)
	defer late.Stop()
	for {
		moved := m.standing(rev)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-ask.C:
			_ = m.s.client.RequestProgress(ownStream(ctx)) // no answer is waited for
			ask.Reset(pause)
			pause *= 2
		case <-late.C:
			m.resync()
		case <-m.s.ctx.Done():
			return context.Cause(m.s.ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// standing returns nil if everything up to a revision is in the mirror, and else a channel that is
// closed when more is.
func (m *mirror) standing(rev int64) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if max(m.rev, m.heard) >= rev {
		return nil
	}
	if m.moved == nil {
		m.moved = make(chan struct{})
	}
	return m.moved
}

// hear takes how far etcd says that the watch has come.
func (m *mirror) hear(rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = max(m.heard, rev)
	m.wake()
}

// wake tells those who wait for a revision that there is more. The caller holds mu.
func (m *mirror) wake() {
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

func (m *mirror) all() []Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	rev := max(m.rev, m.heard)
	var qs []Queue
	for name := range m.queues.Names() {
		qs = append(qs, m.queues.Queue(name, rev))
	}
	slices.SortFunc(qs, func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	return qs
}
