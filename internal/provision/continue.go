package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Besides steps, these are waited for too.
const (
	ContinueInspection hardware.StepKind = "inspect"
	ContinueRescue     hardware.StepKind = "rescue"
)

// Continuation says which waiting work is to go on. One that no longer fits the
// node, because its step or its generation is over, does nothing.
type Continuation struct {
	Node       node.ID
	Kind       hardware.StepKind // or ContinueInspection, ContinueRescue
	Index      int               // of the step that waits; -1 while none does
	Generation int64             // counts the waits of the node
	Wait       time.Duration     // for the lock, as task.Request.Wait
	User       string
}

// Waiting answers how the work of a node is continued that waits; false if none
// does.
func (p *Provisioner) Waiting(n *node.Node) (Continuation, bool) {
	f := p.flows.of(n.ProvisionState)
	if f == nil || n.ProvisionState != f.waiting {
		return Continuation{}, false
	}
	return Continuation{Node: n.UUID, Kind: p.kindOf(f), Index: stepIndex(n, f.kind), Generation: generation(n)}, true
}

func (p *Provisioner) kindOf(f *flow) hardware.StepKind {
	switch f {
	case p.flows.inspect:
		return ContinueInspection
	case p.flows.rescue:
		return ContinueRescue
	}
	return f.kind
}

// Continue goes on with work that waits, and returns when that is handed to a
// worker. It does nothing, which is no error, if the continuation is not the one
// that the node waits for: it is late, or came twice.
func (p *Provisioner) Continue(ctx context.Context, c Continuation) error {
	q := task.Request{Node: c.Node, Purpose: fmt.Sprintf("continue %s", c.Kind), Wait: c.Wait, User: c.User}
	return p.cfg.Tasks.Exclusive(ctx, q, func(ctx context.Context, x *task.Exclusive) error {
		now, waits := p.Waiting(x.Node())
		if !waits || now.Kind != c.Kind || now.Index != c.Index || now.Generation != c.Generation {
			p.cfg.Logger.InfoContext(ctx, "continuation of something else", "node", c.Node, "kind", c.Kind,
				"step", c.Index, "generation", c.Generation, "state", x.Node().ProvisionState)
			return nil
		}
		return p.resume(ctx, x)
	})
}

// resume goes on with what waits, unless that is to be aborted after its step.
func (p *Provisioner) resume(ctx context.Context, x *task.Exclusive) error {
	n := x.Node()
	f := p.flows.of(n.ProvisionState)
	if s := running(n, f.kind); s != nil && s[abortAfter] == true {
		return p.aborted(ctx, x, f)
	}
	return p.event(ctx, x, node.EventResume, task.Transition{Name: f.name, Work: p.behind(f, f.goOn), OnError: putBack}, false)
}
