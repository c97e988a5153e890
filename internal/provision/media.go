package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// ErrPowerFault means that the node waits to be reached again. Ironic:
// TemporaryFailure, 503.
var ErrPowerFault = errors.New("out of reach after a power failure")

// faultPower is the fault of nodes whose power state cannot be read. Ironic:
// faults.POWER_FAILURE.
const faultPower = "power failure"

// AttachMedia asks for an image to be put into a virtual device of the machine,
// which fetches it by itself. It returns nil when the request is accepted: a
// worker has the lock, and a failure will be in last_error.
//
// Errors: those of task.Manager.Exclusive and of the validation of the
// management interface; ErrPowerFault.
//
// Ironic: ConductorManager.attach_virtual_media, which fetches the image itself
// and serves it to the machine.
func (p *Provisioner) AttachMedia(ctx context.Context, id node.ID, device, url string, wait time.Duration, user string) error {
	r := task.Request{Node: id, Purpose: purposeAttachMedia, Wait: wait, User: user}
	return p.media(ctx, r, job{
		name: r.Purpose,
		do: func(ctx context.Context, x *task.Exclusive) error {
			return x.Driver().Management.AttachVirtualMedia(ctx, device, url)
		},
		failed: func(err error) string {
			return fmt.Sprintf("Could not attach device %s to node %s: %v", device, id, err)
		},
	})
}

// DetachMedia asks for virtual devices to be emptied, all if none is named, as
// AttachMedia does for the contrary.
//
// Ironic: ConductorManager.detach_virtual_media.
func (p *Provisioner) DetachMedia(ctx context.Context, id node.ID, devices []string, wait time.Duration, user string) error {
	r := task.Request{Node: id, Purpose: purposeDetachMedia, Wait: wait, User: user}
	which := "all devices"
	if len(devices) > 0 {
		which = "device(s) " + strings.Join(devices, ", ")
	}
	return p.media(ctx, r, job{
		name: r.Purpose,
		do: func(ctx context.Context, x *task.Exclusive) error {
			return x.Driver().Management.DetachVirtualMedia(ctx, devices)
		},
		failed: func(err error) string {
			return fmt.Sprintf("Could not detach %s from node %s: %v", which, id, err)
		},
	})
}

func (p *Provisioner) media(ctx context.Context, r task.Request, j job) error {
	return p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := x.Driver().Management.Validate(ctx); err != nil {
			return FromMachine(err)
		}
		if n := x.Node(); n.Maintenance && n.Fault == faultPower {
			return fmt.Errorf("%s: node %s is %w; try again when it can be reached", r.Purpose, n.UUID, ErrPowerFault)
		}
		return p.hand(ctx, x, j)
	})
}
