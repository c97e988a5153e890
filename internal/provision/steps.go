package provision

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// runSteps runs the node's steps from an index on, and what comes after the last.
// Which step it is, is stored under the fence before the step runs, so that it is
// known to whoever has to go on, for whatever reason.
func (p *Provisioner) runSteps(ctx context.Context, x *task.Exclusive, f *flow, from int) (way, error) {
	n := x.Node()
	steps, _, err := keptSteps(n, f.kind)
	if err != nil {
		return way{}, err
	}
	for i := from; i < len(steps); i++ {
		s := steps[i]
		enterStep(n, f.kind, i)
		if err := x.Save(ctx); err != nil {
			return way{}, err
		}
		p.cfg.Logger.InfoContext(ctx, "step", "node", n.UUID, "kind", f.kind, "step", stepName(s), "number", i+1, "of", len(steps))
		out, err := p.runStep(ctx, x, f, s)
		if err != nil {
			return way{}, fmt.Errorf("step %s (%d of %d): %w", stepName(s), i+1, len(steps), err)
		}
		if out != (way{}) {
			return out, nil
		}
	}
	return f.end(ctx, x)
}

// runStep runs one step. The zero way means: on to the next.
func (p *Provisioner) runStep(ctx context.Context, x *task.Exclusive, f *flow, s hardware.Step) (way, error) {
	if r, ok := reservedSteps()[s.Name]; ok {
		return r.run(p, ctx, x, s)
	}
	outcome, err := x.Driver().RunStep(ctx, s)
	if err != nil || outcome == hardware.Done {
		return way{}, err
	}
	return f.wait("the step")
}

// wait leaves the state to wait for the machine.
func (f *flow) wait(what string) (way, error) {
	if f.waiting == "" {
		return way{}, fmt.Errorf("%s goes on without the conductor, but there is no state to wait for it in a %s", what, f.name)
	}
	return way{event: node.EventWait}, nil
}

// nextStep goes on when a step, or what comes before the first, was waited for.
func (p *Provisioner) nextStep(f *flow) work {
	return func(ctx context.Context, x *task.Exclusive) (way, error) {
		if i := stepIndex(x.Node(), f.kind); i >= 0 {
			return p.runSteps(ctx, x, f, i+1)
		}
		return f.gather(ctx, x)
	}
}
