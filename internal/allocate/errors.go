package allocate

import (
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

var (
	// ErrFailed means that no node is to be had, or not the one that was asked for.
	// Ironic: AllocationFailed.
	ErrFailed = errors.New("allocation failed")
	// ErrAssociated means that the node has an instance or an allocation already.
	// Ironic: NodeAssociated.
	ErrAssociated = errors.New("node is associated")

	// errUnfit passes over a node.
	errUnfit = errors.New("the node does not fit any more")
	// errOver ends the work on an allocation: it is deleted, or no longer ours.
	errOver = errors.New("the allocation is over")
)

// FailedError says why an allocation gets no node. It is ErrFailed.
type FailedError struct {
	Allocation string // uuid
	Reason     string
}

// Error speaks as Ironic does.
func (e *FailedError) Error() string {
	return fmt.Sprintf("Failed to process allocation %s: %s.", e.Allocation, e.Reason)
}

// Unwrap makes it ErrFailed.
func (e *FailedError) Unwrap() error { return ErrFailed }

func failed(al *node.Allocation, format string, args ...any) error {
	return &FailedError{Allocation: al.UUID, Reason: fmt.Sprintf(format, args...)}
}

// AssociatedError says what a node is associated with. It is ErrAssociated.
type AssociatedError struct {
	Node     node.ID
	Instance string
}

// Error speaks as Ironic does.
func (e *AssociatedError) Error() string {
	return fmt.Sprintf("Node %s is associated with instance %s.", e.Node, e.Instance)
}

// Unwrap makes it ErrAssociated.
func (e *AssociatedError) Unwrap() error { return ErrAssociated }

// StateError says in which state a node keeps its allocation. It is
// node.ErrInvalidState.
type StateError struct {
	Allocation string // uuid
	Node       node.ID
	State      node.ProvisionState
}

// Error says what helps.
func (e *StateError) Error() string {
	return fmt.Sprintf("Cannot remove allocation %s while its node %s is in state %q: undeploy the node, wait for what it does, or set it into maintenance.",
		e.Allocation, e.Node, e.State)
}

// Unwrap makes it node.ErrInvalidState.
func (e *StateError) Unwrap() error { return node.ErrInvalidState }
