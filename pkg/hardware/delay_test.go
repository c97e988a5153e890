package hardware

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

func TestParseDelay(t *testing.T) {
	for text, want := range map[string]delay{
		"":        {},
		"0":       {},
		"3":       {3 * time.Second, 3 * time.Second},
		"1,10":    {time.Second, 10 * time.Second},
		" 1 , 2 ": {time.Second, 2 * time.Second},
		"0.25":    {250 * time.Millisecond, 250 * time.Millisecond},
		"5,5":     {5 * time.Second, 5 * time.Second},
	} {
		if got, err := parseDelay(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "1,", ",1", "1,2,3", "2,1", "-1", "NaN", "Inf", "1e300"} {
		if got, err := parseDelay(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

// The mean of a triangle with its mode at a is (2a+b)/3, and three quarters of
// it lie below the middle.
func TestDrawIsATriangle(t *testing.T) {
	const seed, draws = 1, 100_000
	r := rand.New(rand.NewPCG(seed, seed))
	d := delay{2 * time.Second, 8 * time.Second}
	var sum time.Duration
	var below int
	for range draws {
		got := d.draw(r.Float64())
		if got < d.from || got > d.to {
			t.Fatalf("seed %d: %v is not between %v and %v", seed, got, d.from, d.to)
		}
		sum += got
		if got < 5*time.Second {
			below++
		}
	}
	if mean := sum / draws; mean < 3950*time.Millisecond || mean > 4050*time.Millisecond {
		t.Errorf("seed %d: mean %v, want 4s", seed, mean)
	}
	if share := float64(below) / draws; share < 0.74 || share > 0.76 {
		t.Errorf("seed %d: %v below the middle, want 0.75", seed, share)
	}
	if got := d.draw(0); got != d.from {
		t.Errorf("the least is %v, want %v", got, d.from)
	}
}

func TestDelaysHoldTheCallUp(t *testing.T) {
	for _, tt := range []struct {
		iface, text string
		from, to    time.Duration
		call        func(context.Context, *Driver) error
	}{
		{"power", "3", 3 * time.Second, 3 * time.Second, func(ctx context.Context, d *Driver) error {
			return d.Power.Set(ctx, node.PowerOn)
		}},
		{"power", "1,4", time.Second, 4 * time.Second, func(ctx context.Context, d *Driver) error {
			return second(d.Power.Get(ctx))
		}},
		{"power", "3", 0, 0, func(ctx context.Context, d *Driver) error { return d.Power.Validate(ctx) }},
		{"deploy", "2", 2 * time.Second, 2 * time.Second, func(ctx context.Context, d *Driver) error {
			return second(d.RunStep(ctx, deployStep()))
		}},
		{"vendor", "2", 0, 0, func(ctx context.Context, d *Driver) error {
			return second(d.RunStep(ctx, Step{Interface: "vendor", Name: "trigger_servicewait", Kind: ServiceStep}))
		}},
		{"bios", "5", 5 * time.Second, 5 * time.Second, func(ctx context.Context, d *Driver) error {
			return second(d.BIOS.FactoryReset(ctx))
		}},
		{"power", "9", 0, 0, func(ctx context.Context, d *Driver) error { return d.Storage.Attach(ctx) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, d := fakes(t, Config{Fake: FakeConfig{Delays: map[string]string{tt.iface: tt.text}}})
			start := time.Now()
			if err := tt.call(t.Context(), d); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < tt.from || took > tt.to {
				t.Errorf("%s %s: took %v, want %v to %v", tt.iface, tt.text, took, tt.from, tt.to)
			}
		})
	}
}

func TestDelayEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := fakes(t, Config{Fake: FakeConfig{Delays: map[string]string{"power": "60"}}})
		why := errors.New("lock lost")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		start := time.Now()
		err := d.Power.Set(ctx, node.PowerOn)
		if !errors.Is(err, why) || err.Error() != "fake power.Set interrupted: lock lost" {
			t.Errorf("got %v, want it to say so", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		if n.PowerState != "" {
			t.Errorf("record %q, want it as it was", n.PowerState)
		}
	})
}
