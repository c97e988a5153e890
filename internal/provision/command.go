package provision

import (
	"context"
	"errors"

	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// The purposes of sections that are one command to a machine, as others see
// them while they wait.
const (
	PurposeBootDevice = "set boot device"
	PurposeIndicator  = "set indicator"
	PurposeNMI        = "inject nmi"
	PurposeRAID       = "set target raid config"

	purposeBootMode     = "set boot mode"
	purposeSecureBoot   = "set secure boot"
	purposeStartConsole = "start console"
	purposeStopConsole  = "stop console"
	purposeAttachMedia  = "attach virtual media"
	purposeDetachMedia  = "detach virtual media"
	purposeAttachVIF    = "attach vif"
	purposeDetachVIF    = "detach vif"
	purposeVendor       = "vendor passthru"
)

// live are the purposes of commands that change what is read from the machine
// whenever somebody asks: none of the node's columns can be wrong about it.
var live = map[string]bool{
	PurposeBootDevice: true, PurposeIndicator: true, PurposeNMI: true, purposeAttachMedia: true, purposeDetachMedia: true,
}

// ErrMachine means that a machine, or its driver, failed to do what it was
// asked. Ironic has a 500 of its own for each driver.
var ErrMachine = errors.New("the machine failed")

// MachineError is what a machine or its driver answered. It is ErrMachine, and
// what it wraps.
type MachineError struct{ Err error }

// Error is the answer.
func (e *MachineError) Error() string { return e.Err.Error() }

// Unwrap answers both.
func (e *MachineError) Unwrap() []error { return []error{ErrMachine, e.Err} }

// FromMachine marks the error of a driver's call as one; nil stays nil.
func FromMachine(err error) error {
	if err == nil {
		return nil
	}
	return &MachineError{err}
}

// Command runs fn, which sends one command to the machine, under the node's
// exclusive lock while the caller waits, and saves what that changed in the
// record with the release. Errors are those of task.Manager.Exclusive; after
// one of fn's own nothing is saved.
func (p *Provisioner) Command(ctx context.Context, r task.Request, fn func(context.Context, *task.Exclusive) error) error {
	return p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := fn(ctx, x); err != nil {
			return err
		}
		x.SaveAtEnd()
		settle(x)
		return nil
	})
}

// job is work that a request leaves behind when it is accepted.
type job struct {
	name  string // in errors
	event string // type of the notifications, without their status; "": none
	do    func(context.Context, *task.Exclusive) error
	// failed puts an error into words for last_error.
	failed func(err error) string
}

// hand accepts a request: the old error goes, which is stored, and a worker gets
// the lock. A failure is told by last_error.
func (p *Provisioner) hand(ctx context.Context, x *task.Exclusive, j job) error {
	n := x.Node()
	n.LastError = ""
	j.tell(x, task.Start)
	x.OnSpawnError(func(_ context.Context, err error) {
		n.LastError = err.Error()
		j.tell(x, task.Failure)
		x.SaveAtEnd()
	})
	x.SpawnAfter(j.name, func(ctx context.Context, x *task.Exclusive) error {
		err := j.do(ctx, x)
		x.SaveAtEnd() // not made if the lock is lost: the node is another's to describe by then
		if err != nil {
			x.Node().LastError = j.failed(err)
			j.tell(x, task.Failure)
			return err
		}
		j.tell(x, task.End)
		settle(x)
		p.cfg.Logger.InfoContext(ctx, j.name, "node", x.Node().UUID, "token", x.Token())
		return nil
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), acceptTime)
	defer cancel()
	return x.Save(ctx)
}

func (j job) tell(x *task.Exclusive, status string) {
	if j.event != "" {
		x.Tell(task.Notification{Type: j.event + status})
	}
}

// settle ends what a dead holder left open, if that is dealt with now that a
// command has succeeded: it was one command too, which is over, and either it
// was the same one or it left nothing that a record could be wrong about. A
// node in the middle of something waits for its recovery.
func settle(x *task.Exclusive) {
	if !node.Unstable.Has(x.Node().ProvisionState) && overruled(x.Abandoned(), x.Purpose()) {
		x.Settle()
	}
}

func overruled(i *lease.Intent, purpose string) bool {
	for ; i != nil; i = i.Left {
		if !live[i.Purpose] && i.Purpose != purpose {
			return false
		}
		if i.Left == nil {
			return true
		}
	}
	return false
}
