package provision

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// SyncConfig describes a PowerSync.
type SyncConfig struct {
	// Mine says which nodes this conductor looks after. Required.
	Mine func(*node.Node) bool
	// Nodes lists nodes, which are not changed then. nil: the Store of the Provisioner.
	Nodes func(context.Context, node.ListRequest[*node.Node]) (*node.Page[*node.Node], error)
	Locks lease.Locks // required; to leave those in peace who have a lock or wait for one

	Every   time.Duration // between two sweeps; 0: 120 s; negative: never (Ironic: sync_power_state_interval)
	Recover time.Duration // between two looks at nodes that were out of reach; 0: 300 s; negative: never (Ironic: power_failure_recovery_interval)
	Retries int           // failures in a row that are borne; 0: 3 (Ironic: power_state_sync_max_retries)
	Workers int           // machines that are asked at the same time; 0: 8 (Ironic: sync_power_state_workers)
	// Believe takes the machine's power state for the right one when it differs
	// from the record's, in place of setting the machine's
	// (Ironic: force_power_state_during_sync=false).
	Believe bool
}

// PowerSync compares the power states of machines with those of their records,
// and mends what differs. It looks without a lock, and takes one only to change
// something; under the lock everything is checked again. It never waits for a
// lock, and lets one go at once that somebody else waits for. A machine that is as
// the list of nodes has it is left at that; if it is not, its record is read anew.
//
// Failures are counted by the conductor that meets them: one that takes a node
// over begins anew.
type PowerSync struct {
	p   *Provisioner
	cfg SyncConfig

	mu     sync.Mutex
	failed map[node.ID]int // failures in a row
}

// NewPowerSync returns one that is ready to run.
func (p *Provisioner) NewPowerSync(c SyncConfig) *PowerSync {
	setDefault(&c.Every, 2*time.Minute)
	setDefault(&c.Recover, 5*time.Minute)
	setDefault(&c.Retries, 3)
	setDefault(&c.Workers, 8)
	if c.Nodes == nil {
		c.Nodes = p.cfg.Store.Nodes
	}
	return &PowerSync{p: p, cfg: c, failed: map[node.ID]int{}}
}

// Run sweeps until ctx ends.
func (s *PowerSync) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.each(ctx, s.cfg.Every, "power sync", s.Sweep) })
	wg.Go(func() { s.each(ctx, s.cfg.Recover, "recovery of machines out of reach", s.Reach) })
	wg.Wait()
}

// each does something again and again; conductors that start together drift apart.
func (s *PowerSync) each(ctx context.Context, every time.Duration, what string, do func(context.Context) error) {
	for every > 0 {
		select {
		case <-time.After(every - every/10 + rand.N(every/5)):
		case <-ctx.Done():
			return
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.p.cfg.Logger.WarnContext(ctx, what, "err", err)
		}
	}
}

// Sweep looks once at all nodes of this conductor that may be looked at. Machines
// that are reached by one address are asked one after the other.
func (s *PowerSync) Sweep(ctx context.Context) error {
	mine := map[node.ID]bool{}
	err := s.over(ctx, func(n *node.Node) bool {
		mine[n.UUID] = s.cfg.Mine(n)
		return s.due(n)
	}, s.sync)
	if err == nil {
		s.forgetOthers(mine)
	}
	return err
}

// Reach looks once at all nodes of this conductor that are in maintenance because
// they could not be reached, and ends that for those that can be.
//
// Ironic: _power_failure_recovery.
func (s *PowerSync) Reach(ctx context.Context) error {
	lost := func(n *node.Node) bool {
		return n.Maintenance && n.Fault == faultPower && n.ProvisionState != node.StateEnroll && n.TargetPowerState == ""
	}
	return s.over(ctx, lost, func(ctx context.Context, n *node.Node, _ time.Time) error { return s.reach(ctx, n.UUID, lost) })
}

// due says whether a node takes part in the sync.
func (s *PowerSync) due(n *node.Node) bool {
	return !node.SyncExcluded.Has(n.ProvisionState) && !n.Maintenance && n.TargetPowerState == ""
}

// look does what is to be done for a node that was listed as of some time.
type look func(ctx context.Context, n *node.Node, asOf time.Time) error

// over runs look for all nodes that match, those of one controller in turn.
func (s *PowerSync) over(ctx context.Context, match func(*node.Node) bool, look look) error {
	queues, err := s.cfg.Locks.List(ctx)
	if err != nil {
		return err
	}
	locked := map[node.ID]bool{}
	for _, q := range queues {
		locked[node.ID(q.Name)] = true
	}
	page, err := s.cfg.Nodes(ctx, node.ListRequest[*node.Node]{
		Match: func(n *node.Node) bool { return match(n) && !locked[n.UUID] && s.cfg.Mine(n) },
	})
	if err != nil {
		return err
	}
	machines := map[string][]*node.Node{}
	var order []string
	for _, n := range page.Items {
		at := controller(n)
		if machines[at] == nil {
			order = append(order, at)
		}
		machines[at] = append(machines[at], n)
	}
	queue := make(chan []*node.Node)
	var wg sync.WaitGroup
	for range min(s.cfg.Workers, len(order)) {
		wg.Go(func() {
			for nodes := range queue {
				for _, n := range nodes {
					s.tell(ctx, n.UUID, look(ctx, n, page.AsOf))
				}
			}
		})
	}
	defer wg.Wait()
	defer close(queue)
	for _, at := range order {
		select {
		case queue <- machines[at]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// controller is what a machine is reached by, its own uuid if the record does not tell.
func controller(n *node.Node) string {
	for _, key := range []string{"redfish_address", "ipmi_address", "address"} {
		if at := n.DriverInfo.Text(key); at != "" {
			return at
		}
	}
	return string(n.UUID)
}

// tell writes down what went wrong with a node, if that is worth it.
func (s *PowerSync) tell(ctx context.Context, id node.ID, err error) {
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, lease.ErrHeld), errors.Is(err, node.ErrNotFound), errors.Is(err, errYield): // another time
	default:
		s.p.cfg.Logger.WarnContext(ctx, "power sync", "node", id, "err", err)
	}
}

var errYield = errors.New("somebody waits for the lock")

// exclusive runs fn under the lock if that is free, and cuts it off when somebody
// else wants the node.
func (s *PowerSync) exclusive(ctx context.Context, snap *task.Snapshot, fn func(context.Context, *task.Exclusive) error) error {
	return snap.Upgrade(ctx, "power sync", 0, func(ctx context.Context, x *task.Exclusive) error {
		ctx, cancel := context.WithCancelCause(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel(nil)
		if x.Abandoned() != nil {
			return nil // its recovery looks at the machine, too
		}
		wg.Go(func() { s.yield(ctx, x.Node().UUID, cancel) })
		err := fn(ctx, x)
		if err != nil && errors.Is(context.Cause(ctx), errYield) {
			return fmt.Errorf("%w: %w", errYield, err)
		}
		return err
	})
}

// yield cuts a task off when somebody waits for its lock.
func (s *PowerSync) yield(ctx context.Context, id node.ID, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if q, err := s.cfg.Locks.Queue(ctx, string(id)); err == nil && len(q.Waiters()) > 0 {
			cancel(errYield)
			return
		}
	}
}
