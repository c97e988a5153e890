package hardware

import (
	"context"
	"fmt"
	"slices"

	"github.com/conductor-metal/conductor/pkg/node"
)

// offer is a step a fake offers and what it does to the record.
type offer struct {
	Step
	// act may be nil. It is called after the delay.
	act func(n *node.Node, args map[string]any)
	// check may be nil. It is called first.
	check func(args map[string]any) error
	// waits makes the outcome Waiting.
	waits bool
}

func offered(all []offer, kind StepKind) []Step {
	var steps []Step
	for _, o := range all {
		if o.Kind == kind {
			steps = append(steps, o.Step)
		}
	}
	return steps
}

func (f *fake) runOffer(ctx context.Context, n *node.Node, all []offer, s Step) (Outcome, error) {
	i := slices.IndexFunc(all, func(o offer) bool { return o.Name == s.Name && o.Kind == s.Kind })
	if i < 0 {
		return Done, unknownStep(s)
	}
	o := all[i]
	for name, info := range o.ArgsInfo {
		if _, ok := s.Args[name]; info.Required && !ok {
			return Done, fmt.Errorf("%s.%s: %w: %s", s.Interface, s.Name, ErrMissingParameter, name)
		}
	}
	if o.check != nil {
		if err := o.check(s.Args); err != nil {
			return Done, fmt.Errorf("%s.%s: %w", s.Interface, s.Name, err)
		}
	}
	err := f.do(ctx, n, fakeCall{
		Call: Call{Interface: s.Interface, Method: s.Name, Writes: true},
		// Handing over to a machine that works on by itself takes no time.
		quick: o.waits,
		act: func() {
			if o.act != nil {
				o.act(n, s.Args)
			}
		},
	})
	if err == nil && o.waits {
		return Waiting, nil
	}
	return outcome(n, s.Interface, s.Name, err)
}

// pairs reads a list of objects with a name and a value.
//
// Ironic: the settings argument of apply_configuration.
func pairs(value any) (map[string]string, error) {
	items, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: settings must be a list", ErrInvalidParameter)
	}
	settings := make(map[string]string, len(items))
	for _, item := range items {
		var name string
		var v any
		switch m := item.(type) {
		case map[string]any:
			name, _ = m["name"].(string)
			v = m["value"]
		case node.Object:
			name, v = m.Text("name"), m["value"]
		}
		if name == "" || v == nil {
			return nil, fmt.Errorf("%w: a setting needs a name and a value", ErrInvalidParameter)
		}
		settings[name] = fmt.Sprint(v)
	}
	return settings, nil
}
