package provision

import (
	"context"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// CallVendor calls a vendor method of a node and says which it was. A method
// that wants the exclusive lock gets it; if it is asynchronous too, the call
// returns once a worker has the lock, without a result, and a failure goes to
// last_error if that is empty.
//
// A method that wants no lock runs while the caller waits, also if it is
// asynchronous: without the lock nothing can be written, so a failure could be
// told nowhere else.
//
// Errors: those of task.Manager.Snapshot and Exclusive;
// hardware.ErrInvalidParameter if there is no such method, if it is not to be
// called in this way or if its arguments do not fit; ErrMachine.
//
// Ironic: ConductorManager.vendor_passthru.
func (p *Provisioner) CallVendor(ctx context.Context, id node.ID, c hardware.VendorCall, wait time.Duration, user string) (any, hardware.VendorMethod, error) {
	r := task.Request{Node: id, Purpose: purposeVendor, Wait: wait, User: user}
	var result any
	var m hardware.VendorMethod
	err := p.cfg.Tasks.Snapshot(ctx, r, func(ctx context.Context, s *task.Snapshot) error {
		v := s.Driver().Vendor
		methods, err := v.Methods(ctx)
		if err != nil {
			return FromMachine(err)
		}
		if m, err = hardware.FindVendorMethod(methods, c); err != nil || m.Exclusive {
			return err
		}
		if err := v.Validate(ctx, c); err != nil {
			return FromMachine(err)
		}
		result, err = v.Query(ctx, c)
		return FromMachine(err)
	})
	if err != nil || !m.Exclusive {
		return result, m, err
	}
	err = p.cfg.Tasks.Exclusive(ctx, r, func(ctx context.Context, x *task.Exclusive) error {
		if err := x.Driver().Vendor.Validate(ctx, c); err != nil {
			return FromMachine(err)
		}
		call := func(ctx context.Context, x *task.Exclusive) (any, error) {
			got, err := x.Driver().Vendor.Call(ctx, c)
			if err == nil {
				x.SaveAtEnd()
			}
			return got, err
		}
		if m.Async {
			x.SpawnAfter(purposeVendor+" "+m.Name, func(ctx context.Context, x *task.Exclusive) error {
				_, err := call(ctx, x)
				return err
			})
			return nil
		}
		var err error
		result, err = call(ctx, x)
		return FromMachine(err)
	})
	return result, m, err
}
