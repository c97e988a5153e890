package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
)

func TestTemplatesOf(t *testing.T) {
	l := newLab(t)
	store := node.NewStore(l.client, lease.DefaultRoot)
	rank := func(n node.Rank) *node.Rank { return &n }
	template := &node.DeployTemplate{Name: "CUSTOM_RAID", Steps: []node.TemplateStep{
		{Interface: "raid", Step: "apply_configuration", Args: node.Object{"delete_existing": true}, Priority: rank(90)},
		{Interface: "deploy", Step: "deploy", Args: node.Object{}, Priority: rank(0)},
	}}
	if err := store.Create(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	got, err := templatesOf(store)(t.Context(), []string{"CUSTOM_NONE", "CUSTOM_RAID"})
	want := []hardware.Step{
		{Interface: "raid", Name: "apply_configuration", Args: map[string]any{"delete_existing": true}, Priority: 90, Kind: hardware.DeployStep},
		{Interface: "deploy", Name: "deploy", Args: map[string]any{}, Priority: 0, Kind: hardware.DeployStep},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("got %v (-want +got)\n%s", err, diff)
	}
	again := &node.DeployTemplate{Name: "CUSTOM_OTHER", Steps: template.Steps[:1]}
	if err := store.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got, err := templatesOf(store)(t.Context(), []string{"CUSTOM_RAID", "CUSTOM_OTHER"}); !errors.Is(err, hardware.ErrInvalidParameter) {
		t.Errorf("a step of two templates: got %v, %v", got, err)
	}
	if _, err := l.client.Put(t.Context(), lease.DefaultRoot+"deploy-templates/"+template.UUID, "garbage"); err != nil {
		t.Fatal(err)
	}
	if got, err := templatesOf(store)(t.Context(), []string{"CUSTOM_RAID"}); !errors.Is(err, node.ErrCorrupt) {
		t.Errorf("a template that cannot be read: got %v, %v: a deployment without its steps would be another one", got, err)
	}
}
