package task

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Transition says what comes with an event of the provision state machine.
type Transition struct {
	Target    node.ProvisionState // an explicit target; empty: as the machine decides
	LastError string              // the node's last_error; without Work, empty keeps the old one

	// Work is what the new state is for. It starts in the background when the task's function
	// returns nil, under the same lock. Name names it in errors.
	Work func(context.Context, *Exclusive) error
	Name string

	// OnError is called when Work cannot start after all, with the states that the node had
	// before, so that it can put them back.
	OnError func(ctx context.Context, x *Exclusive, err error, state, target node.ProvisionState)
}

// ProcessEvent moves the node's provision state machine and saves the node, fenced, together with
// the event's notification: state and target become visible at once, and only if the lock is still
// held. With Work, a worker is reserved first; without a free one nothing changes.
//
// Errors: *node.InvalidStateError if the state does not know the event, *NoWorkerError, or those
// of Save. After an error the node, the machine and etcd are as before.
// Ironic: TaskManager.process_event.
func (x *Exclusive) ProcessEvent(ctx context.Context, e node.Event, t Transition) (err error) {
	if err := x.Check(); err != nil {
		return fmt.Errorf("event %q for node %s: %w", e, x.req.Node, err)
	}
	defer func() { x.m.cfg.Metrics.event(e, err) }()
	n := x.records.Node
	before := n.Clone()
	if err := x.machine.Fire(ctx, e, t.Target); err != nil {
		return fmt.Errorf("node %s: %w", x.req.Node, err)
	}
	undo := func() {
		*n = *before
		machine, mErr := node.NewMachine(before.ProvisionState, before.TargetProvisionState)
		if mErr == nil { // it was made from these before
			x.machine = machine
		}
	}
	var w *work
	if t.Work != nil {
		slot, err := x.m.pool.take(x.req.Unreserved)
		if err != nil {
			undo()
			return err
		}
		w = &work{name: t.Name, fn: t.Work, slot: slot}
	}
	n.ProvisionState = x.machine.State()
	n.TargetProvisionState = x.machine.Target()
	if t.Work == nil && n.ProvisionState.Stable() {
		n.TargetProvisionState = ""
	}
	if t.Work != nil || t.LastError != "" {
		n.LastError = t.LastError
	}
	note := x.notification(e, before)
	if err := x.save(ctx, string(n.ProvisionState), note); err != nil {
		undo()
		if w != nil {
			w.slot.free()
		}
		return err
	}
	x.logTransition(ctx, note)
	if w == nil {
		x.m.notify(ctx, note)
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setWork(w)
	x.pending = note
	if t.OnError != nil {
		x.onError = func(ctx context.Context, err error) {
			t.OnError(ctx, x, err, before.ProvisionState, before.TargetProvisionState)
		}
	}
	return nil
}

// ResumeCleaning moves a node out of clean wait, and keeps a manual clean manual: its target is
// manageable, which the machine would otherwise forget. Ironic: TaskManager.resume_cleaning.
func (x *Exclusive) ResumeCleaning(ctx context.Context) error {
	var t Transition
	if x.records.Node.TargetProvisionState == node.StateManageable {
		t.Target = node.StateManageable
	}
	return x.ProcessEvent(ctx, node.EventResume, t)
}

func (x *Exclusive) logTransition(ctx context.Context, n *Notification) {
	level := slog.LevelInfo
	if to := string(n.State); strings.HasSuffix(to, "failed") || n.State == node.StateError {
		level = slog.LevelError
	}
	x.m.cfg.Logger.Log(ctx, level, "provision state", "node", x.req.Node, "event", n.Event, "from", n.PreviousState,
		"to", n.State, "target", n.Target, "purpose", x.req.Purpose, "token", int64(x.fence.Token()))
}
