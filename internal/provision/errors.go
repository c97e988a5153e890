package provision

import (
	"errors"
	"fmt"
	"strings"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// The kinds of refusal. What a parameter lacks is hardware.ErrInvalidParameter,
// what a driver lacks hardware.ErrUnsupported.
var (
	// ErrStateRequested means that the node's state does not allow the action.
	// Ironic: InvalidStateRequested, 400.
	ErrStateRequested = errors.New("not possible in the node's state")
	// ErrPowerState means that the power state may not be set.
	// Ironic: PowerStateFailure, 409.
	ErrPowerState = errors.New("power state refused")
	// ErrMaintenance means that the node is in maintenance.
	// Ironic: NodeInMaintenance, 400.
	ErrMaintenance = errors.New("node in maintenance")
	// ErrProtected means that the node's instance is protected.
	// Ironic: NodeProtected, 403.
	ErrProtected = errors.New("node protected")
	// ErrRetired means that the node is not to be offered again.
	// Ironic: NodeIsRetired, 400.
	ErrRetired = errors.New("node retired")
	// ErrLimit means that too many nodes of the cluster are busy with the like.
	// Ironic: ConcurrentActionLimit, 503.
	ErrLimit = errors.New("limit of concurrent actions reached")
	// ErrStepNotAllowed means that a step is not one that the node offers.
	// Ironic: StepNotAllowed, 400.
	ErrStepNotAllowed = errors.New("step not allowed")
	// ErrDeployFailure means that a deployment or its removal cannot begin. Ironic:
	// InstanceDeployFailure, 500, but for a deployment the status of the cause: an
	// error of this kind is its cause too then, so look for that first.
	ErrDeployFailure = errors.New("cannot deploy")
	// ErrRescueFailure means that a rescue cannot begin. Ironic:
	// InstanceRescueFailure, 500.
	ErrRescueFailure = errors.New("cannot rescue")
	// ErrUnrescueFailure means that the end of a rescue cannot begin. Ironic:
	// InstanceUnrescueFailure, 500.
	ErrUnrescueFailure = errors.New("cannot end the rescue")
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

// NodeError says that something about the node itself forbids an action. It is
// ErrMaintenance, ErrProtected or ErrRetired.
type NodeError struct {
	Node   node.ID
	Action string
	Is     error
	Reason string // what the operator wrote about it; may be empty
}

// remedies say what to do about each kind.
var remedies = map[error]string{
	ErrMaintenance: "it is in maintenance; end that first",
	ErrProtected:   "it is protected; clear the field protected first",
	ErrRetired:     "it is retired; clear the field retired first",
}

// Error says what to do.
func (e *NodeError) Error() string {
	text := fmt.Sprintf("%s is not possible on node %s: %s", e.Action, e.Node, remedies[e.Is])
	if e.Reason != "" {
		text += fmt.Sprintf(" (the reason given: %s)", e.Reason)
	}
	return text
}

// Unwrap answers its kind.
func (e *NodeError) Unwrap() error { return e.Is }

// LimitError says how many nodes are busy. It is ErrLimit.
type LimitError struct {
	Class node.SlotClass
	Limit int
}

// Error says what to do.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%d nodes of this cluster are in states that count as %s, and more are not allowed: try again when one of them is done", e.Limit, e.Class)
}

// Unwrap makes it ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }

// StepError says which step cannot be run on a node. It is ErrStepNotAllowed.
type StepError struct {
	Node    node.ID
	Step    hardware.Step
	Offered []hardware.Step
}

// Error lists what could be run instead.
func (e *StepError) Error() string {
	names := make([]string, len(e.Offered))
	for i, s := range e.Offered {
		names[i] = stepName(s)
	}
	return fmt.Sprintf("node %s offers no %s step %s; it offers %s, and anywhere %s",
		e.Node, e.Step.Kind, stepName(e.Step), strings.Join(names, ", "), strings.Join(reservedNames(), ", "))
}

// Unwrap makes it ErrStepNotAllowed.
func (e *StepError) Unwrap() error { return ErrStepNotAllowed }

// InstanceError says why nothing can be done to a node's instance. It is
// ErrDeployFailure, ErrRescueFailure or ErrUnrescueFailure, and Cause if that is
// not nil.
type InstanceError struct {
	Node   node.ID
	Is     error
	Reason error
	Cause  error // decides the status in the place of Is; may be nil
}

// Error tells the reason.
func (e *InstanceError) Error() string {
	return fmt.Sprintf("node %s: %v: %v", e.Node, e.Is, e.Reason)
}

// Unwrap answers its kinds.
func (e *InstanceError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Is}
	}
	return []error{e.Is, e.Cause}
}
