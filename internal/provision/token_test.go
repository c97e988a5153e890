package provision_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/internal/provision"
	"github.com/conductor-metal/conductor/pkg/lease"
	"github.com/conductor-metal/conductor/pkg/node"
	"github.com/conductor-metal/conductor/pkg/task"
)

// Anybody may look a node up: the token is for who did it first.
func TestAgentTokenIsToldOnce(t *testing.T) {
	inBubble(t, in(node.StateCleanWait), func(t *testing.T, c *cluster) {
		p, tasks := c.conductor(t, "c1")
		err := tasks.Exclusive(t.Context(), task.Request{Node: c.node}, func(ctx context.Context, _ *task.Exclusive) error {
			_, _, err := p.AgentToken(ctx, c.node)
			return err
		})
		if !errors.Is(err, lease.ErrHeld) {
			t.Errorf("of a locked node: %v", err)
		}
		n, token, err := p.AgentToken(t.Context(), c.node)
		if err != nil || len(token) < 20 || n.UUID != c.node {
			t.Fatalf("%q of %v, %v", token, n, err)
		}
		if _, again, err := p.AgentToken(t.Context(), c.node); err != nil || again != "******" {
			t.Errorf("again: %q, %v", again, err)
		}
		beat := provision.Heartbeat{Node: c.node, CallbackURL: "https://192.0.2.1:9999", AgentVersion: "9.1"}
		for _, shown := range []string{"", "******", token + "x"} {
			beat.AgentToken = shown
			if err := p.Heartbeat(t.Context(), beat); err == nil {
				t.Errorf("a heartbeat with the token %q is taken", shown)
			}
		}
		beat.AgentToken = token
		if err := p.Heartbeat(t.Context(), beat); err != nil {
			t.Error(err)
		}
	})
}

func TestAnswersLookup(t *testing.T) {
	slow, fast := provision.New(provision.Config{}), provision.New(provision.Config{FastTrack: true})
	var more []node.ProvisionState
	for _, s := range node.States() {
		if got, want := slow.AnswersLookup(s), node.LookupAllowed.Has(s); got != want {
			t.Errorf("%s: %t", s, got)
		}
		if fast.AnswersLookup(s) && !slow.AnswersLookup(s) {
			more = append(more, s)
		}
	}
	want := []node.ProvisionState{node.StateEnroll, node.StateManageable, node.StateAvailable, node.StateServicing, node.StateServiceHold}
	if !slices.Equal(more, want) {
		t.Errorf("fast track has %q more, want %q", more, want)
	}
}
