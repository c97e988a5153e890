package hardware

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// StepKind is what a step belongs to.
type StepKind string

// The kinds of step.
const (
	CleanStep   StepKind = "clean"
	DeployStep  StepKind = "deploy"
	ServiceStep StepKind = "service"
	VerifyStep  StepKind = "verify"
)

// Step is one piece of work an implementation offers to do within cleaning,
// deployment, servicing or verification. Its JSON names are those of Ironic's
// clean_step and deploy_step.
type Step struct {
	Interface string `json:"interface"`
	Name      string `json:"step"`
	// Priority orders the steps, highest first. Steps of priority 0 run only
	// when somebody asks for them.
	Priority int `json:"priority"`
	// Args are the arguments to run it with; those offered have none.
	Args map[string]any `json:"args,omitempty"`
	// ArgsInfo says which arguments the step takes.
	ArgsInfo map[string]ArgInfo `json:"argsinfo,omitempty"`
	// Abortable says that the work may be given up while it waits.
	Abortable bool `json:"abortable,omitempty"`
	// Rerunnable says that after a crash in the middle of the step it may be
	// run once more. False, the zero, is the safe answer: the node fails and
	// somebody looks.
	Rerunnable bool     `json:"rerunnable,omitempty"`
	Kind       StepKind `json:"kind,omitempty"`
}

// ArgInfo describes an argument of a step.
type ArgInfo struct {
	Description string `json:"description"`
	Required    bool   `json:"required,omitempty"`
}

// Stepper is implemented by implementations that offer steps.
type Stepper interface {
	// Steps returns the steps of a kind in any order; it only reads.
	Steps(ctx context.Context, n *node.Node, kind StepKind) ([]Step, error)
	// RunStep runs a step. It returns an error for which errors.Is(err,
	// ErrStepNotFound) holds if it does not know the step.
	RunStep(ctx context.Context, n *node.Node, s Step) (Outcome, error)
}

// stepWeight orders steps of equal priority. Interfaces that are not in it
// offer no steps; network offers steps to servicing only.
var stepWeight = map[string]int{
	InterfaceNetwork:    8,
	InterfaceVendor:     7,
	InterfacePower:      6,
	InterfaceManagement: 5,
	InterfaceFirmware:   4,
	InterfaceDeploy:     3,
	InterfaceBIOS:       2,
	InterfaceRAID:       1,
}

func stepsFrom(iface string, kind StepKind) bool {
	return stepWeight[iface] > 0 && (iface != InterfaceNetwork || kind == ServiceStep)
}

// SortSteps orders steps as they run: by priority, highest first; at equal
// priority by interface: network, vendor, power, management, firmware, deploy,
// bios, raid; then as they were. Ironic: _sorted_steps.
func SortSteps(steps []Step) {
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Or(
			cmp.Compare(b.Priority, a.Priority),
			cmp.Compare(stepWeight[b.Interface], stepWeight[a.Interface]),
		)
	})
}

// Steps returns the steps of a kind that the node's implementations offer, in
// the order they run, those of priority 0 last.
func (d *Driver) Steps(ctx context.Context, kind StepKind) ([]Step, error) {
	return d.parts.steps(ctx, d.binding, kind)
}

// Steps returns the steps of a kind that the node's implementations offer, in
// the order they run, those of priority 0 last.
func (r *Reader) Steps(ctx context.Context, kind StepKind) ([]Step, error) {
	return r.parts.steps(ctx, r.binding, kind)
}

func (p parts) steps(ctx context.Context, b binding, kind StepKind) ([]Step, error) {
	var steps []Step
	for _, iface := range Interfaces() {
		s, ok := p.impl(iface).(Stepper)
		if !ok || !stepsFrom(iface, kind) {
			continue
		}
		err := b.pass(ctx, iface, "Steps", false, func(ctx context.Context) error {
			some, err := s.Steps(ctx, b.node, kind)
			steps = append(steps, some...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	SortSteps(steps)
	return steps, nil
}

// RunStep runs a step with its arguments. The gate sees it as a call of the
// step's name that writes.
func (d *Driver) RunStep(ctx context.Context, s Step) (Outcome, error) {
	var got Outcome
	err := d.binding.pass(ctx, s.Interface, s.Name, true, func(ctx context.Context) error {
		i, ok := d.parts.impl(s.Interface).(Stepper)
		if !ok || !stepsFrom(s.Interface, s.Kind) {
			return unknownStep(s)
		}
		var err error
		got, err = i.RunStep(ctx, d.binding.node, s)
		return err
	})
	return got, err
}

func unknownStep(s Step) error {
	return fmt.Errorf("%w: %s step %s.%s", ErrStepNotFound, s.Kind, s.Interface, s.Name)
}
