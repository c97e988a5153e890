package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

func stepName(s hardware.Step) string {
	if s.Interface == "" {
		return s.Name
	}
	return s.Interface + "." + s.Name
}

// same says whether two steps mean the same one of a driver.
func same(a, b hardware.Step) bool { return a.Interface == b.Interface && a.Name == b.Name }

// automatic answers the steps that run without being asked for, in order.
func automatic(ctx context.Context, x *task.Exclusive, kind hardware.StepKind) ([]hardware.Step, error) {
	steps, err := x.Driver().Steps(ctx, kind)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(steps, func(s hardware.Step) bool { return s.Priority <= 0 }), nil
}

// chosen checks the steps that somebody asks for and fills in what the driver
// says of them. An error is a *StepError or hardware.ErrInvalidParameter.
func chosen(ctx context.Context, x *task.Exclusive, kind hardware.StepKind, asked []hardware.Step) ([]hardware.Step, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	offered, err := x.Driver().Steps(ctx, kind)
	if err != nil {
		return nil, err
	}
	steps := make([]hardware.Step, 0, len(asked))
	for _, s := range asked {
		s.Kind, s.ArgsInfo, s.Abortable, s.Rerunnable = kind, nil, false, false // are not for users to say
		if r, ok := asReserved(s); ok {
			s = r
		} else if i := slices.IndexFunc(offered, func(o hardware.Step) bool { return same(o, s) }); i >= 0 {
			o := offered[i]
			s.ArgsInfo, s.Abortable, s.Rerunnable = o.ArgsInfo, o.Abortable, o.Rerunnable
		} else {
			return nil, &StepError{Node: x.Node().UUID, Step: s, Offered: offered}
		}
		if err := checkArgs(s); err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// checkArgs compares the arguments of a step with those that it takes.
func checkArgs(s hardware.Step) error {
	for _, name := range slices.Sorted(maps.Keys(s.ArgsInfo)) {
		if _, given := s.Args[name]; s.ArgsInfo[name].Required && !given {
			return fmt.Errorf("step %s: %w: %s", stepName(s), hardware.ErrMissingParameter, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Args)) {
		if _, takes := s.ArgsInfo[name]; !takes {
			return fmt.Errorf("%w: step %s takes no argument %q", hardware.ErrInvalidParameter, stepName(s), name)
		}
	}
	if s.Name == stepWait {
		_, err := waitSeconds(s)
		return err
	}
	return nil
}

// deploySteps answers the steps of a deployment in order: the driver's own,
// those of the templates that the instance's traits ask for, and those that the
// user asks for, of which the later win over the earlier if they mean the same
// step. Priority 0 drops a step.
func (p *Provisioner) deploySteps(ctx context.Context, x *task.Exclusive, asked []hardware.Step) ([]hardware.Step, error) {
	own, err := automatic(ctx, x, hardware.DeployStep)
	if err != nil {
		return nil, err
	}
	explicit, err := chosen(ctx, x, hardware.DeployStep, asked)
	if err != nil {
		return nil, err
	}
	for i, s := range explicit {
		if slices.ContainsFunc(explicit[:i], func(o hardware.Step) bool { return same(o, s) && reservedSteps()[s.Name].run == nil }) {
			return nil, fmt.Errorf("%w: the deploy step %s is given twice", hardware.ErrInvalidParameter, stepName(s))
		}
	}
	traits, err := instanceTraits(x.Node())
	if err != nil {
		return nil, err
	}
	var templated []hardware.Step
	if p.cfg.Templates != nil && len(traits) > 0 {
		if templated, err = p.cfg.Templates(ctx, traits); err != nil {
			return nil, fmt.Errorf("deploy templates: %w", err)
		}
		if templated, err = chosen(ctx, x, hardware.DeployStep, templated); err != nil {
			return nil, fmt.Errorf("deploy templates: %w", err)
		}
	}
	return merge(own, templated, explicit), nil
}

// merge puts lists of steps together: what a later list has is left out of the earlier ones.
func merge(lists ...[]hardware.Step) []hardware.Step {
	var all []hardware.Step
	for _, list := range lists {
		all = slices.DeleteFunc(all, func(s hardware.Step) bool {
			return slices.ContainsFunc(list, func(o hardware.Step) bool { return same(o, s) })
		})
		all = append(all, list...)
	}
	all = slices.DeleteFunc(all, func(s hardware.Step) bool { return s.Priority <= 0 })
	hardware.SortSteps(all)
	return all
}

// instanceTraits answers the traits that the instance asks for, which the node
// must have. Ironic: validate_instance_info_traits.
func instanceTraits(n *node.Node) ([]string, error) {
	value, ok := n.InstanceInfo["traits"]
	if !ok || value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: instance_info traits must be a list", hardware.ErrInvalidParameter)
	}
	traits := make([]string, 0, len(list))
	for _, v := range list {
		t, ok := v.(string)
		if !ok || !slices.Contains(n.Traits, t) {
			return nil, fmt.Errorf("%w: instance_info asks for the trait %v, which the node has not; it has %q", hardware.ErrInvalidParameter, v, n.Traits)
		}
		traits = append(traits, t)
	}
	return traits, nil
}
