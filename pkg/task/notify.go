package task

import (
	"context"
	"time"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

// Notification tells of one thing that happened to a node: a transition of its provision state,
// what a task told with Exclusive.Tell, or the end of a lock. It is stored under events/<node>/ in
// the transaction that makes it true, and then given to Config.Notify. What a type has no use for
// is left out.
//
// Ironic: the payloads of its versioned notifications.
type Notification struct {
	ID        string    `json:"id"` // UUID version 7, so that keys are in order of time
	Type      string    `json:"type"`
	Level     string    `json:"level"` // INFO, WARNING or ERROR
	At        time.Time `json:"at"`
	Publisher string    `json:"publisher,omitempty"` // hostname of the conductor
	Node      node.ID   `json:"node,omitempty"`
	Name      string    `json:"name,omitempty"`
	Object    string    `json:"object,omitempty"` // the uuid of what was created, updated or deleted

	Event          node.Event          `json:"event,omitempty"`
	PreviousState  node.ProvisionState `json:"previous_provision_state,omitempty"`
	PreviousTarget node.ProvisionState `json:"previous_target_provision_state,omitempty"`

	// The node as it is with this write.
	State       node.ProvisionState `json:"provision_state,omitempty"`
	Target      node.ProvisionState `json:"target_provision_state,omitempty"`
	PowerState  node.PowerState     `json:"power_state,omitempty"`
	PowerTarget node.PowerState     `json:"target_power_state,omitempty"`
	Maintenance bool                `json:"maintenance,omitempty"`
	Fault       string              `json:"fault,omitempty"`
	LastError   string              `json:"last_error,omitempty"`

	ToPower   node.PowerState `json:"to_power,omitempty"`
	FromPower node.PowerState `json:"from_power,omitempty"`

	Holder  string      `json:"holder,omitempty"` // whose lock it was
	Owner   string      `json:"owner,omitempty"`  // who has it now
	Reason  string      `json:"reason,omitempty"` // of a maintenance, a break or a loss
	Since   time.Time   `json:"since,omitzero"`   // when the lock was granted
	Purpose string      `json:"purpose,omitempty"`
	Task    string      `json:"task,omitempty"`
	Token   lease.Token `json:"token,omitempty"`
	User    string      `json:"user,omitempty"`
}

// The levels of notifications.
const (
	LevelInfo    = "INFO"
	LevelWarning = "WARNING"
	LevelError   = "ERROR"
)

// notification describes the transition that the task has just made.
func (x *Exclusive) notification(e node.Event, before *node.Node) *Notification {
	n := x.records.Node
	level, status := grade(e, before.ProvisionState, n.ProvisionState)
	return &Notification{
		Type: ProvisionSet + status, Level: level, At: now(), Event: e,
		PreviousState: before.ProvisionState, PreviousTarget: before.TargetProvisionState,
		State: n.ProvisionState, Target: n.TargetProvisionState,
	}
}

// now is the time as notifications tell it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// grade decides level and status; the first rule that fits counts. An abort that leads to a
// failed state is thus an ordinary end. Ironic: TaskManager._notify_provision_state_change.
func grade(e node.Event, from, to node.ProvisionState) (level, status string) {
	was, is := node.Unstable.Has(from), node.Unstable.Has(to)
	switch {
	case e == node.EventFail || e == "error":
		return LevelError, Failure
	case !was && is:
		return LevelInfo, Start
	case was && !is:
		return LevelInfo, End
	}
	return LevelInfo, Success
}

// notify tells the subscriber, whose panic must not become the task's.
func (m *Manager) notify(ctx context.Context, n *Notification) {
	if m.cfg.Notify == nil || n == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			m.cfg.Logger.WarnContext(ctx, "notification", "node", n.Node, "err", &PanicError{Value: p})
		}
	}()
	m.cfg.Notify(ctx, *n)
}
