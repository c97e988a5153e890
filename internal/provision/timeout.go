package provision

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Run gives up work that is waited for in vain, until ctx ends. All conductors
// may do that at the same time: the nodes' locks decide who does. Meanwhile
// it tells of the nodes that it sees, in Metrics.
func (p *Provisioner) Run(ctx context.Context) error {
	defer p.cfg.Metrics.nodes.Reset()
	for {
		if err := p.CheckTimeouts(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.WarnContext(ctx, "look for what is waited for in vain", "err", err)
		}
		pause := time.NewTimer(p.cfg.SweepInterval*9/10 + rand.N(p.cfg.SweepInterval/5+1))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
}

// CheckTimeouts looks once at all nodes, without a lock, and fails those that
// have waited for too long. A node that is locked, or whose failing fails, is left
// to the next sweep. It returns when workers have got the others. Nodes in
// maintenance wait as long as that lasts, and what is held waits for ever.
func (p *Provisioner) CheckTimeouts(ctx context.Context) error {
	var all census
	waits := func(n *node.Node) bool {
		all.add(n)
		return p.waits(n) != nil
	}
	page, err := p.cfg.Store.Nodes(ctx, node.ListRequest[*node.Node]{Match: waits})
	if err != nil {
		return err
	}
	p.cfg.Metrics.counted(all)
	p.waiting.look(page.Items)
	for _, n := range page.Items {
		if _, over := p.overdue(n); !over {
			continue
		}
		q := task.Request{Node: n.UUID, Purpose: "timeout", NoDriver: true}
		err := p.cfg.Tasks.Exclusive(ctx, q, p.expire)
		switch {
		case err == nil:
			p.cfg.Logger.WarnContext(ctx, "waited for in vain", "node", n.UUID, "state", n.ProvisionState, "since", since(n))
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, task.ErrNoWorker):
			return err // the others would not get one either
		case errors.Is(err, lease.ErrHeld), errors.Is(err, node.ErrNotFound):
		default:
			p.cfg.Logger.WarnContext(ctx, "give up what is waited for", "node", n.UUID, "err", err)
		}
	}
	return nil
}

// expire fails a node if it is still overdue: it may have gone on since.
func (p *Provisioner) expire(ctx context.Context, x *task.Exclusive) error {
	f, over := p.overdue(x.Node())
	if !over {
		return nil
	}
	why := fmt.Sprintf("timeout of %s reached while waiting for the machine in the %s", p.patience(f), f.name)
	if err := x.LoadDriver(); err != nil {
		return p.giveUp(ctx, x, f, node.EventFail, fmt.Sprintf("%s; nothing was cleaned up: %v", why, err), nil)
	}
	return p.late(ctx, x, f, why)
}

// waits returns what a node waits in, nil if it does not.
func (p *Provisioner) waits(n *node.Node) *flow {
	if f := p.flows.of(n.ProvisionState); f != nil && n.ProvisionState == f.waiting {
		return f
	}
	return nil
}

// overdue says whether a node has waited for too long, and in what.
func (p *Provisioner) overdue(n *node.Node) (*flow, bool) {
	f := p.waits(n)
	if f == nil || n.Maintenance {
		return nil, false
	}
	limit := p.patience(f)
	return f, limit > 0 && p.waiting.age(n) > limit
}

// patience is how long a flow may wait; not above 0: for ever.
func (p *Provisioner) patience(f *flow) time.Duration {
	switch f {
	case p.flows.deploy:
		return p.cfg.DeployCallbackTimeout
	case p.flows.clean:
		return p.cfg.CleanCallbackTimeout
	case p.flows.rescue:
		return p.cfg.RescueCallbackTimeout
	case p.flows.service:
		return p.cfg.ServiceCallbackTimeout
	}
	return p.cfg.InspectWaitTimeout
}
