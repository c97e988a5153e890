package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// reserved is a step that the conductor itself does, whatever interface it is
// said to be of. Ironic: the same names.
type reserved struct {
	args  map[string]hardware.ArgInfo
	power node.PowerState // to bring about
	run   func(*Provisioner, context.Context, *task.Exclusive, hardware.Step) (way, error)
}

// Those of them that have a part in what goes on around steps.
const (
	stepHold = "hold"
	stepWait = "wait"
)

func reservedSteps() map[string]reserved {
	return map[string]reserved{
		"power_on":  {power: node.PowerOn, run: (*Provisioner).powerStep},
		"power_off": {power: node.PowerOff, run: (*Provisioner).powerStep},
		"reboot":    {power: node.PowerReboot, run: (*Provisioner).powerStep},
		stepHold:    {run: (*Provisioner).holdStep},
		stepWait: {
			run:  (*Provisioner).waitStep,
			args: map[string]hardware.ArgInfo{"seconds": {Description: "How long; without it, until the machine calls."}},
		},
	}
}

func reservedNames() []string { return slices.Sorted(maps.Keys(reservedSteps())) }

// asReserved answers a reserved step as it is to be run. They set a state or do
// nothing, so each may be run again or given up.
func asReserved(s hardware.Step) (hardware.Step, bool) {
	r, ok := reservedSteps()[s.Name]
	if ok {
		s.ArgsInfo, s.Abortable, s.Rerunnable = r.args, true, true
	}
	return s, ok
}

func (p *Provisioner) powerStep(ctx context.Context, x *task.Exclusive, s hardware.Step) (way, error) {
	target := reservedSteps()[s.Name].power
	return way{}, p.powerTo(ctx, x, target, p.powerTimeout(target))
}

func (p *Provisioner) holdStep(context.Context, *task.Exclusive, hardware.Step) (way, error) {
	return way{event: node.EventHold}, nil
}

// waitStep leaves the node to itself for a while, or until the machine calls.
func (p *Provisioner) waitStep(ctx context.Context, x *task.Exclusive, s hardware.Step) (way, error) {
	pause, err := waitSeconds(s)
	if err != nil || pause == 0 {
		return way{event: node.EventWait}, err
	}
	if err := p.event(ctx, x, node.EventWait, task.Transition{}, false); err != nil {
		return way{}, err
	}
	t := time.NewTimer(min(pause, p.cfg.MaxConductorWaitStep))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return way{}, context.Cause(ctx)
	}
	return way{}, p.event(ctx, x, node.EventResume, task.Transition{}, false)
}

// waitSeconds reads the argument of a wait, 0 if there is none.
func waitSeconds(s hardware.Step) (time.Duration, error) {
	v, ok := s.Args["seconds"]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseFloat(node.Object{"seconds": v}.Text("seconds"), 64)
	d := time.Duration(min(n, 1e9) * float64(time.Second))
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%w: step wait: seconds is %v and must be a number above 0", hardware.ErrInvalidParameter, v)
	}
	return d, nil
}
