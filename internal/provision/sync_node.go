package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// listedFor is how long a machine may be looked at by its listed record.
const listedFor = 2 * time.Second

// sync compares one machine with its record. Ironic: do_sync_power_state.
func (s *PowerSync) sync(ctx context.Context, listed *node.Node, asOf time.Time) error {
	id := listed.UUID
	var seen node.PowerState
	var err error
	looked := false
	if listed.PowerState != "" && time.Since(asOf) < listedFor {
		_ = s.p.cfg.Tasks.Look(ctx, listed, func(ctx context.Context, d *hardware.Reader) error {
			seen, err = d.Power.Get(ctx)
			looked = true
			return err
		})
		if looked && err == nil && seen == listed.PowerState && seen != node.PowerError {
			s.forget(id)
			return nil
		}
	}
	q := task.Request{Node: id, Purpose: "power sync"}
	return s.p.cfg.Tasks.Snapshot(ctx, q, func(ctx context.Context, snap *task.Snapshot) error {
		n, d := snap.Node(), snap.Driver()
		if !s.due(n) {
			return nil
		}
		if n.PowerState == "" {
			if d.Power.Validate(ctx) != nil { // nobody has told yet how to reach it
				s.forget(id)
				return nil
			}
		}
		if !looked || n.Revision != listed.Revision {
			seen, err = d.Power.Get(ctx)
		}
		if err != nil || seen == node.PowerError {
			return s.failure(ctx, snap, seen, err)
		}
		if seen == n.PowerState {
			s.forget(id)
			return nil
		}
		return s.exclusive(ctx, snap, s.mend)
	})
}

// failure counts one, and gives the node up after too many in a row.
func (s *PowerSync) failure(ctx context.Context, snap *task.Snapshot, seen node.PowerState, why error) error {
	if why == nil {
		why = fmt.Errorf("the machine reports an error for its power state")
	}
	if s.count(snap.Node().UUID) <= s.cfg.Retries {
		return why
	}
	return s.exclusive(ctx, snap, func(_ context.Context, x *task.Exclusive) error {
		if s.due(x.Node()) {
			s.giveUp(x, seen, fmt.Sprintf("the power state could not be read %d times in a row: %v", s.cfg.Retries+1, why))
		}
		return nil
	})
}

// giveUp puts a node into maintenance until it can be reached again. Ironic:
// handle_sync_power_state_max_retries_exceeded.
func (s *PowerSync) giveUp(x *task.Exclusive, seen node.PowerState, why string) {
	n := x.Node()
	if n.PowerState != seen {
		x.Tell(task.Notification{Type: task.PowerCorrected, FromPower: n.PowerState})
	}
	n.PowerState, n.LastError = seen, why
	maintain(n, faultPower, why)
	x.SaveAtEnd()
	s.forget(n.UUID)
}

// mend makes record and machine agree; both are looked at again, under the lock.
func (s *PowerSync) mend(ctx context.Context, x *task.Exclusive) error {
	n, d := x.Node(), x.Driver()
	if !s.due(n) {
		s.forget(n.UUID)
		return nil
	}
	seen, err := d.Power.Get(ctx)
	if err != nil {
		return err // the next sweep counts it
	}
	if seen == n.PowerState {
		s.forget(n.UUID)
		return nil
	}
	failures := s.count(n.UUID)
	if failures > s.cfg.Retries {
		s.giveUp(x, seen, fmt.Sprintf("the machine was %q and not %q %d times in a row", seen, n.PowerState, failures))
		return nil
	}
	if n.PowerState != "" && !s.cfg.Believe && mayPowerOff(n, n.PowerState) == nil {
		can, err := d.Power.Supported(ctx)
		if err == nil && slices.Contains(can, n.PowerState) {
			s.p.cfg.Logger.WarnContext(ctx, "power state differs and is set", "node", n.UUID, "machine", seen, "record", n.PowerState)
			return command(ctx, d, n.PowerState, s.p.cfg.PowerTimeout) // whether it worked is seen the next time
		}
	}
	s.p.cfg.Logger.WarnContext(ctx, "power state differs and is believed", "node", n.UUID, "machine", seen, "record", n.PowerState)
	x.Tell(task.Notification{Type: task.PowerCorrected, FromPower: n.PowerState})
	n.PowerState = seen
	x.SaveAtEnd()
	s.forget(n.UUID)
	return nil
}

// reach ends the maintenance of a node whose machine answers again.
func (s *PowerSync) reach(ctx context.Context, id node.ID, lost func(*node.Node) bool) error {
	q := task.Request{Node: id, Purpose: "power recovery"}
	return s.p.cfg.Tasks.Snapshot(ctx, q, func(ctx context.Context, snap *task.Snapshot) error {
		if !lost(snap.Node()) || answers(ctx, snap.Driver().Power) != nil {
			return nil
		}
		return s.exclusive(ctx, snap, func(ctx context.Context, x *task.Exclusive) error {
			n := x.Node()
			if !lost(n) {
				return nil
			}
			seen, err := x.Driver().Power.Get(ctx)
			if err != nil || seen == node.PowerError {
				return err
			}
			if n.PowerState != seen {
				x.Tell(task.Notification{Type: task.PowerCorrected, FromPower: n.PowerState})
			}
			n.PowerState, n.Maintenance, n.MaintenanceReason, n.Fault = seen, false, "", ""
			x.Tell(task.Notification{Type: task.MaintenanceSet + task.End})
			x.SaveAtEnd()
			s.p.cfg.Logger.InfoContext(ctx, "machine can be reached again", "node", n.UUID, "power_state", seen)
			return nil
		})
	})
}

// answers asks a machine for its power state, if the record tells how.
func answers(ctx context.Context, power interface {
	Validate(context.Context) error
	Get(context.Context) (node.PowerState, error)
},
) error {
	if err := power.Validate(ctx); err != nil {
		return err
	}
	state, err := power.Get(ctx)
	if err == nil && state == node.PowerError {
		err = fmt.Errorf("power state %q", state)
	}
	return err
}

func (s *PowerSync) count(id node.ID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[id]++
	return s.failed[id]
}

// forgetOthers forgets the failures of nodes that are gone, or another conductor's now.
func (s *PowerSync) forgetOthers(mine map[node.ID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.failed, func(id node.ID, _ int) bool { return !mine[id] })
}

func (s *PowerSync) forget(id node.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, id)
}
