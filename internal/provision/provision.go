package provision

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Config describes a Provisioner.
type Config struct {
	Tasks  *task.Manager // required
	Logger *slog.Logger  // nil: discarded

	// PowerTimeout bounds a command that changes the power state when the
	// request says nothing; 0: 60 s (Ironic: power_state_change_timeout).
	PowerTimeout time.Duration
	// SoftPowerTimeout is the same for soft power off and soft rebooting;
	// 0: 600 s (Ironic: soft_power_off_timeout).
	SoftPowerTimeout time.Duration
}

// Provisioner turns what users ask for into tasks. Its methods are safe for
// concurrent use.
type Provisioner struct {
	cfg Config
}

// New returns a Provisioner.
func New(c Config) *Provisioner {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.PowerTimeout == 0 {
		c.PowerTimeout = 60 * time.Second
	}
	if c.SoftPowerTimeout == 0 {
		c.SoftPowerTimeout = 600 * time.Second
	}
	return &Provisioner{cfg: c}
}

var (
	// ErrStateRequested means that the node's state does not allow the action.
	// Ironic: InvalidStateRequested, 400.
	ErrStateRequested = errors.New("not possible in the node's state")
	// ErrPowerState means that the power state may not be set.
	// Ironic: PowerStateFailure, 409.
	ErrPowerState = errors.New("power state refused")
)

// StateError says which action was asked for in which state. It is
// ErrStateRequested.
type StateError struct {
	Node   node.ID
	Action string
	State  node.ProvisionState
}

// Error speaks as Ironic does.
func (e *StateError) Error() string {
	return fmt.Sprintf("The requested action %q can not be performed on node %q while it is in state %q.", e.Action, e.Node, e.State)
}

// Unwrap makes it ErrStateRequested.
func (e *StateError) Unwrap() error { return ErrStateRequested }

// PowerError says which power state was refused and why. It is ErrPowerState.
type PowerError struct {
	Target node.PowerState
	Reason string
}

// Error speaks as Ironic does.
func (e *PowerError) Error() string {
	return fmt.Sprintf("Failed to set node power state to %s: %s", e.Target, e.Reason)
}

// Unwrap makes it ErrPowerState.
func (e *PowerError) Unwrap() error { return ErrPowerState }
