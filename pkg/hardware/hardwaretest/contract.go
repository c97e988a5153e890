package hardwaretest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/node"
)

// TestPower runs the contract of the power interface. Setup is called for each
// part of it and returns an implementation with a node whose machine is off.
func TestPower(t *testing.T, setup func(*testing.T) (hardware.Power, *node.Node)) {
	t.Run("validates", func(t *testing.T) {
		p, n := setup(t)
		if err := p.Validate(t.Context(), n); err != nil {
			t.Error(err)
		}
	})
	t.Run("supports on, off and reboot", func(t *testing.T) {
		p, n := setup(t)
		got, err := p.Supported(t.Context(), n)
		for _, want := range []node.PowerState{node.PowerOn, node.PowerOff, node.PowerReboot} {
			if err != nil || !slices.Contains(got, want) {
				t.Errorf("got %v, %v, want %v in it", got, err, want)
			}
		}
	})
	t.Run("is what it was set to, also twice", func(t *testing.T) {
		p, n := setup(t)
		for _, to := range []node.PowerState{node.PowerOn, node.PowerOn, node.PowerOff, node.PowerOff} {
			if err := p.Set(t.Context(), n, to); err != nil {
				t.Fatal(err)
			}
			wantPower(t, p, n, to)
		}
	})
	t.Run("is on after a reboot", func(t *testing.T) {
		p, n := setup(t)
		if err := p.Set(t.Context(), n, node.PowerOn); err != nil {
			t.Fatal(err)
		}
		if err := p.Reboot(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		wantPower(t, p, n, node.PowerOn)
	})
	t.Run("refuses a state that does not exist", func(t *testing.T) {
		p, n := setup(t)
		if err := p.Set(t.Context(), n, "sideways"); !errors.Is(err, hardware.ErrInvalidParameter) {
			t.Errorf("got %v, want %v", err, hardware.ErrInvalidParameter)
		}
	})
	t.Run("does nothing with a dead context", func(t *testing.T) { testDeadContext(t, setup) })
}

func testDeadContext(t *testing.T, setup func(*testing.T) (hardware.Power, *node.Node)) {
	p, n := setup(t)
	if err := p.Set(t.Context(), n, node.PowerOff); err != nil {
		t.Fatal(err)
	}
	why := errors.New("lock lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := p.Set(ctx, n, node.PowerOn); !errors.Is(err, why) {
		t.Errorf("set: got %v, want %v", err, why)
	}
	if err := p.Reboot(ctx, n); !errors.Is(err, why) {
		t.Errorf("reboot: got %v, want %v", err, why)
	}
	if _, err := p.Get(ctx, n); !errors.Is(err, why) {
		t.Errorf("get: got %v, want %v", err, why)
	}
	wantPower(t, p, n, node.PowerOff)
}

func wantPower(t *testing.T, p hardware.Power, n *node.Node, want node.PowerState) {
	t.Helper()
	if got, err := p.Get(t.Context(), n); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
