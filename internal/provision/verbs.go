package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// verb is what is done for one of the verbs.
type verb struct {
	name  string     // of the purpose, and of the action in refusals
	event node.Event // that must be legal in the node's state
	// not are states that know the event, but not from a user: what works in them fires it.
	not []node.ProvisionState

	takes  []string // the parts of a request that it has a use for
	needs  string   // the one of them that it cannot do without
	checks []check  // in this order

	// prepare makes the last checks and puts into the record what the work needs. May be nil.
	prepare func(context.Context, *task.Exclusive, *Request) error
	target  node.ProvisionState // explicit; "": as the machine decides
	limited bool                // refused if too many nodes are busy with the like
	// do takes the place of the event. May be nil.
	do act
}

// The parts of a request that not all verbs take. Ironic's names.
const (
	takesSteps      = "steps"
	takesNoRamdisk  = "disable_ramdisk"
	takesDrive      = "configdrive"
	takesRescueWord = "rescue_password"
)

// allVerbs is the table of what users can ask for.
func (p *Provisioner) allVerbs() map[Verb]verb {
	deploy := verb{
		name: "deploy", event: node.EventDeploy, takes: []string{takesSteps, takesDrive}, limited: true,
		checks: []check{noMaintenance, legal}, prepare: p.prepareDeploy,
	}
	rebuild := deploy
	rebuild.name, rebuild.event = "rebuild", node.EventRebuild
	rebuild.checks = []check{noMaintenance, legal, notProtected}
	return map[Verb]verb{
		Manage: {
			name: "manage", event: node.EventManage, not: []node.ProvisionState{node.StateCleaning}, checks: []check{legal},
		},
		Provide: {
			name: "provide", event: node.EventProvide, checks: []check{legal, p.mayProvision, notRetired},
		},
		Inspect: {
			name: "inspect", event: node.EventInspect, checks: []check{legal}, prepare: prepareInspect,
		},
		Clean: {
			name: "clean", event: node.EventClean, not: []node.ProvisionState{node.StateDeleting},
			takes: []string{takesSteps, takesNoRamdisk}, needs: takesSteps, limited: true, target: node.StateManageable,
			checks: []check{legal, noMaintenance}, prepare: p.prepareSteps(p.flows.clean),
		},
		Adopt:   {name: "adopt", event: node.EventAdopt, checks: []check{legal}},
		Deploy:  deploy,
		Rebuild: rebuild,
		Undeploy: {
			name: "undeploy", event: node.EventDelete, limited: true,
			checks: []check{legal, notProtected}, prepare: p.prepareUndeploy,
		},
		Rescue: {
			name: "rescue", event: node.EventRescue, takes: []string{takesRescueWord}, needs: takesRescueWord,
			checks: []check{legal, noMaintenance}, prepare: p.prepareRescue,
		},
		Unrescue: {
			name: "unrescue", event: node.EventUnrescue, checks: []check{legal, noMaintenance}, prepare: p.prepareUnrescue,
		},
		Abort:  {name: "abort", event: node.EventAbort, checks: []check{legal}, do: p.abort},
		Unhold: {name: "unhold", event: node.EventUnhold, checks: []check{legal}},
		Service: {
			name: "service", event: node.EventService, takes: []string{takesSteps, takesNoRamdisk}, needs: takesSteps,
			checks: []check{legal, noMaintenance}, prepare: p.prepareSteps(p.flows.service),
		},
	}
}

// aliases are the newer names of verbs.
var aliases = map[Verb]Verb{"deploy": Deploy, "undeploy": Undeploy}

// find answers the row of a verb.
func (p *Provisioner) find(v Verb) (verb, bool) {
	if other, ok := aliases[v]; ok {
		v = other
	}
	row, ok := p.verbs[v]
	return row, ok
}

// Legal says whether a verb may be asked for in a state; false for what is no verb.
func (p *Provisioner) Legal(v Verb, s node.ProvisionState) bool {
	row, ok := p.find(v)
	return ok && row.legal(s)
}

func (v verb) legal(s node.ProvisionState) bool {
	_, knows := s.After(v.event)
	return knows && !slices.Contains(v.not, s)
}

// Do carries out a verb as far as it can while the caller waits: it checks,
// stores the new state together with its target, and hands the lock to a
// worker. Then it returns nil. It waits for the lock as Request.Wait says.
//
// Errors: those of task.Manager.Exclusive and of this package; an error for which
// errors.Is(err, hardware.ErrInvalidParameter) holds if the request or the
// node's record lacks something or has too much; a *task.PanicError if the driver
// panicked. After an error nothing has
// changed, except that a write whose answer was lost may have stored the state;
// then an intent stands that tells whoever has the lock next.
//
// Ironic: PUT /v1/nodes/{node}/states/provision and what the conductor does for it.
func (p *Provisioner) Do(ctx context.Context, r Request) error {
	v, ok := p.find(r.Verb)
	if !ok {
		n, err := p.cfg.Store.Node(ctx, r.Node)
		if err != nil {
			return err
		}
		return &StateError{Node: n.UUID, Action: string(r.Verb), State: n.ProvisionState}
	}
	if err := v.fits(&r); err != nil {
		return err
	}
	q := task.Request{Node: r.Node, Purpose: v.name, Wait: r.Wait, User: r.User}
	return p.cfg.Tasks.Exclusive(ctx, q, func(ctx context.Context, x *task.Exclusive) error {
		return p.try(ctx, x, func(ctx context.Context, x *task.Exclusive) error { return p.carryOut(ctx, x, v, &r) })
	})
}

// carryOut is Do under the lock.
func (p *Provisioner) carryOut(ctx context.Context, x *task.Exclusive, v verb, r *Request) error {
	for _, allowed := range v.checks {
		if err := allowed(x.Node(), v); err != nil {
			return err
		}
	}
	if r.May != nil {
		if err := r.May(x.Node()); err != nil {
			return err
		}
	}
	if v.prepare != nil {
		if err := v.prepare(ctx, x, r); err != nil {
			return err
		}
	}
	// We have the lock: who wanted this is not there any more.
	x.Node().TargetPowerState = ""
	if v.do != nil {
		return v.do(ctx, x)
	}
	return p.enter(ctx, x, v)
}

// enter fires the verb's event, with the work that the new state stands for.
func (p *Provisioner) enter(ctx context.Context, x *task.Exclusive, v verb) error {
	n := x.Node()
	to, _ := n.ProvisionState.After(v.event)
	t := task.Transition{Target: v.target, OnError: putBack}
	switch f := p.flows.of(to); {
	case f == nil:
	case to == f.running:
		t.Name, t.Work = f.name, p.behind(f, f.begin)
	case to == f.waiting: // nothing is waited for after a hold
		t.Name, t.Work = f.name, p.behind(f, p.resumed(f))
	}
	err := p.event(ctx, x, v.event, t, v.limited)
	if errors.Is(err, node.ErrInvalidState) {
		return &StateError{Node: n.UUID, Action: v.name, State: n.ProvisionState}
	}
	return err
}

// resumed goes on with a flow, beginning in its waiting state.
func (p *Provisioner) resumed(f *flow) work {
	return func(ctx context.Context, x *task.Exclusive) (way, error) {
		if err := p.event(ctx, x, node.EventResume, task.Transition{}, false); err != nil {
			return way{}, err
		}
		return f.goOn(ctx, x)
	}
}

// putBack undoes a transition whose work does not start. Ironic:
// provisioning_error_handler.
func putBack(_ context.Context, x *task.Exclusive, err error, state, target node.ProvisionState) {
	n := x.Node()
	n.ProvisionState, n.TargetProvisionState = state, target
	n.LastError = fmt.Sprintf("the work could not start: %v", err)
	x.SaveAtEnd()
}

// fits compares what a request has with what its verb takes.
func (v verb) fits(r *Request) error {
	has := map[string]bool{
		takesSteps: len(r.Steps) > 0, takesNoRamdisk: r.DisableRamdisk,
		takesDrive: r.ConfigDrive != nil, takesRescueWord: r.RescuePassword != "",
	}
	for part, given := range has {
		if given && !slices.Contains(v.takes, part) {
			return fmt.Errorf("%w: %s has no use for %s", hardware.ErrInvalidParameter, v.name, part)
		}
	}
	if v.needs != "" && !has[v.needs] {
		return fmt.Errorf("%w: %s cannot be done without %s", hardware.ErrMissingParameter, v.name, v.needs)
	}
	switch r.ConfigDrive.(type) {
	case nil, string, map[string]any, node.Object:
		return nil
	}
	return fmt.Errorf("%w: configdrive must be text or an object", hardware.ErrInvalidParameter)
}
