package task

import (
	"context"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Look runs fn with the part of a node's driver that only reads. The record is one that the caller
// has at hand, from a list for example: etcd is not asked, and the node may have changed since. It
// is for those who look at very many machines; what they find calls for a Snapshot, or for a lock,
// before anything follows from it. The record is not changed, and nobody may change it before fn
// returns.
//
// Errors: what fn returns; an error of hardware composition, or ErrClosed, if fn did not run.
func (m *Manager) Look(ctx context.Context, n *node.Node, fn func(context.Context, *hardware.Reader) error) (err error) {
	if err := m.pool.enter(&m.tasks); err != nil {
		return err
	}
	defer m.tasks.Done()
	defer m.cfg.Metrics.begin("snapshot")(&err)
	ctx, cancel := m.bind(ctx)
	defer cancel()
	s := &Snapshot{core: &core{m: m, records: &node.Records{Node: n}}}
	if err := s.LoadDriver(); err != nil {
		return err
	}
	defer s.over.Store(true)
	return fn(ctx, s.Driver())
}
