package task

import (
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/lease"
)

// Errors of this package; use errors.Is. A lock that was not to be had is a *lease.HeldError, a
// lost one is lease.ErrLost, a missing node node.ErrNotFound.
var (
	// ErrReleased is the answer of a task that is used after it has ended.
	ErrReleased = lease.ErrReleased
	// ErrNoWorker means that all workers are busy. Ironic: NoFreeConductorWorker, 503.
	ErrNoWorker = errors.New("no free worker")
	// ErrClosed means that the manager takes no new work.
	ErrClosed = errors.New("task manager closed")
	// ErrStuck means that tasks went on although they were cancelled.
	ErrStuck = errors.New("tasks do not end although they were cancelled")
)

// NoWorkerError says how full the pool is. It is ErrNoWorker.
type NoWorkerError struct{ Busy, Size int }

func (e *NoWorkerError) Error() string {
	return fmt.Sprintf("no free worker: %d of %d are busy, try again later", e.Busy, e.Size)
}

// Unwrap makes it ErrNoWorker.
func (e *NoWorkerError) Unwrap() error { return ErrNoWorker }

// PanicError is a panic of background work, which ends the work and not the process.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
