package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// templatesOf answers the steps of the deploy templates that have the names of traits.
// A step that two of them have is refused: which arguments to take, nobody said.
//
// Ironic: conductor/steps.py, _validate_deploy_steps_unique.
func templatesOf(store *node.Store) func(ctx context.Context, traits []string) ([]hardware.Step, error) {
	return func(ctx context.Context, traits []string) ([]hardware.Step, error) {
		var steps []hardware.Step
		from := map[[2]string]string{} // the template of a step
		for _, trait := range traits {
			template, err := store.DeployTemplate(ctx, trait)
			if errors.Is(err, node.ErrNotFound) {
				continue // a trait need not have one
			}
			if err != nil {
				return nil, err
			}
			for _, s := range template.Steps {
				key := [2]string{s.Interface, s.Step}
				if other := from[key]; other != "" {
					return nil, fmt.Errorf("%w: the deploy templates %s and %s both have the step %s.%s; ask for one of them only",
						hardware.ErrInvalidParameter, other, trait, s.Interface, s.Step)
				}
				from[key] = trait
				step := hardware.Step{Interface: s.Interface, Name: s.Step, Args: s.Args, Kind: hardware.DeployStep}
				if s.Priority != nil { // a record that was written by hand
					step.Priority = int(*s.Priority)
				}
				steps = append(steps, step)
			}
		}
		return steps, nil
	}
}
