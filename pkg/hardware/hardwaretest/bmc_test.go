package hardwaretest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/hardware"
	"github.com/conductor-metal/conductor/pkg/hardware/hardwaretest"
	"github.com/conductor-metal/conductor/pkg/node"
)

// as returns a gate that lets everything pass in the name of a holder.
func as(conductor string, token int64) hardware.Gate {
	return func(ctx context.Context, _ hardware.Call) (context.Context, func(error), error) {
		return hardware.WithActor(ctx, hardware.Actor{Conductor: conductor, Token: token}), nil, nil
	}
}

// driver returns a driver of the machine id of b.
func driver(t *testing.T, b *hardwaretest.BMC, id node.ID, g hardware.Gate) *hardware.Driver {
	t.Helper()
	return driverOf(t, hardwaretest.Registry(b), id, g)
}

func driverOf(t *testing.T, r *hardware.Registry, id node.ID, g hardware.Gate) *hardware.Driver {
	t.Helper()
	n := &node.Node{UUID: id, Driver: hardware.FakeHardware}
	c, err := r.Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	return c.Driver(n, g)
}

// bound makes a bound power interface look like an implementation, so that
// what a task uses passes the contract as well.
type bound struct{ d *hardware.Driver }

func (p bound) Validate(ctx context.Context, _ *node.Node) error { return p.d.Power.Validate(ctx) }
func (p bound) Reboot(ctx context.Context, _ *node.Node) error   { return p.d.Power.Reboot(ctx) }

func (p bound) Get(ctx context.Context, _ *node.Node) (node.PowerState, error) {
	return p.d.Power.Get(ctx)
}

func (p bound) Set(ctx context.Context, _ *node.Node, to node.PowerState) error {
	return p.d.Power.Set(ctx, to)
}

func (p bound) Supported(ctx context.Context, _ *node.Node) ([]node.PowerState, error) {
	return p.d.Power.Supported(ctx)
}

func TestPowerContract(t *testing.T) {
	t.Run("machines", func(t *testing.T) {
		hardwaretest.TestPower(t, func(t *testing.T) (hardware.Power, *node.Node) {
			return bound{driver(t, new(hardwaretest.BMC), "n1", hardware.Open)}, nil
		})
	})
	t.Run("machines behind HTTP", func(t *testing.T) {
		hardwaretest.TestPower(t, func(t *testing.T) (hardware.Power, *node.Node) {
			return bound{driverOf(t, remote(t, new(hardwaretest.BMC)), "n1", hardware.Open)}, nil
		})
	})
	t.Run("record", func(t *testing.T) {
		hardwaretest.TestPower(t, func(t *testing.T) (hardware.Power, *node.Node) {
			return bound{driver(t, nil, "n1", hardware.Open)}, nil
		})
	})
}

func TestMachinesKeepTheirState(t *testing.T) {
	var b hardwaretest.BMC
	ctx := t.Context()
	d, other := driver(t, &b, "n1", as("c1", 1)), driver(t, &b, "n2", as("c1", 2))
	for _, tt := range []struct{ to, want node.PowerState }{
		{node.PowerOn, node.PowerOn},
		{node.PowerSoftOff, node.PowerOff},
		{node.PowerSoftReboot, node.PowerOn},
		{node.PowerOff, node.PowerOff},
	} {
		if err := d.Power.Set(ctx, tt.to); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Power.Get(ctx); err != nil || got != tt.want || b.State("n1") != tt.want {
			t.Errorf("after %q: got %q, %v, the machine is %q, want %q", tt.to, got, err, b.State("n1"), tt.want)
		}
	}
	if err := d.Power.Reboot(ctx); err != nil || b.State("n1") != node.PowerOn {
		t.Errorf("reboot: %v, the machine is %q, want it on", err, b.State("n1"))
	}
	b.Press("n2", node.PowerOn)
	if got, err := other.Power.Get(ctx); err != nil || got != node.PowerOn {
		t.Errorf("after a press: got %q, %v", got, err)
	}
}

func TestCommandsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b hardwaretest.BMC
		b.SetLatency(hardwaretest.Latency{Request: time.Second, Work: 2 * time.Second, Answer: 4 * time.Second})
		d := driver(t, &b, "n1", as("c1", 7))
		start := time.Now()
		if err := d.Power.Set(t.Context(), node.PowerOn); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v, want 7s", took)
		}
		if err := d.Deploy.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := hardwaretest.Command{
			Seq: 1, Node: "n1", Method: "power.Set", To: node.PowerOn, Writes: true,
			Actor: hardware.Actor{Conductor: "c1", Token: 7},
			Start: start, Arrived: start.Add(time.Second), End: start.Add(3 * time.Second),
		}
		got := b.Commands("n1")
		if len(got) != 2 || got[0] != want || got[1].Method != "deploy.Prepare" {
			t.Errorf("got %v, want %v and deploy.Prepare", got, want)
		}
		if all := b.AllCommands(); len(all) != 2 || len(b.Commands("n2")) != 0 {
			t.Errorf("all: %v, of n2: %v", all, b.Commands("n2"))
		}
	})
}

func TestLostAnswerIsNotALostRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b hardwaretest.BMC
		b.SetLatencyOf("n1", hardwaretest.Latency{Request: 2 * time.Second, Work: 2 * time.Second})
		d := driver(t, &b, "n1", as("c1", 7))
		why := errors.New("lock lost")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := d.Power.Set(ctx, node.PowerOn); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
		if got := b.State("n1"); got != node.PowerOff {
			t.Errorf("at once: %q, want it off", got)
		}
		if c := b.Commands("n1")[0]; !c.Gone.Equal(time.Now()) {
			t.Errorf("the caller is gone since %v, want now", c.Gone)
		}
		time.Sleep(3 * time.Second)
		if got := b.State("n1"); got != node.PowerOn {
			t.Errorf("in the end: %q, want it on", got)
		}
	})
}

func TestUnplugged(t *testing.T) {
	var b hardwaretest.BMC
	d := driver(t, &b, "n1", as("c1", 7))
	b.Unplug("n1")
	if err := d.Power.Set(t.Context(), node.PowerOn); !errors.Is(err, hardwaretest.ErrUnreachable) {
		t.Errorf("got %v, want %v", err, hardwaretest.ErrUnreachable)
	}
	if c := b.Commands("n1"); len(c) != 1 || !c[0].Refused || b.State("n1") != node.PowerOff {
		t.Errorf("got %v, the machine is %q, want it refused and off", c, b.State("n1"))
	}
	b.Plug("n1")
	if err := d.Power.Set(t.Context(), node.PowerOn); err != nil || b.State("n1") != node.PowerOn {
		t.Errorf("plugged in: %v, the machine is %q", err, b.State("n1"))
	}
}

// Real time and real threads, for the race detector.
func TestManyAtOnce(t *testing.T) {
	var b hardwaretest.BMC
	var wg sync.WaitGroup
	for i := range 8 {
		d := driver(t, &b, node.ID(rune('a'+i/2)), as("c1", 7))
		wg.Go(func() {
			for range 100 {
				if err := d.Power.Set(t.Context(), node.PowerOn); err != nil {
					t.Error(err)
				}
			}
			b.Overlaps()
		})
	}
	wg.Wait()
	if got := len(b.AllCommands()); got != 800 {
		t.Errorf("%d commands recorded, want 800", got)
	}
	if got := b.Overlaps(); len(got) != 0 {
		t.Errorf("one holder overlaps itself: %v", got)
	}
}
