package hardware

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// order puts faults into driver_info as JSON from the wire would.
func order(t *testing.T, n *node.Node, faults string) {
	t.Helper()
	var o node.Object
	if err := o.UnmarshalJSON([]byte(`{"` + FaultKey + `":` + faults + `}`)); err != nil {
		t.Fatal(err)
	}
	n.DriverInfo = o
}

func TestFail(t *testing.T) {
	ctx := t.Context()
	n, d := fakes(t, Config{})
	order(t, n, `[{"mode":"fail","on":"power.set","times":2,"message":"no answer"}]`)
	for i, fails := range []bool{true, true, false, false} {
		err := d.Power.Set(ctx, node.PowerOn)
		if got := errors.Is(err, ErrFault); got != fails {
			t.Errorf("call %d: got %v, fails: %v", i, err, fails)
		}
		if touched := n.PowerState != ""; touched == fails {
			t.Errorf("call %d: power state %q, fails: %v", i, n.PowerState, fails)
		}
		if err := second(d.Power.Get(ctx)); err != nil {
			t.Errorf("another method fails: %v", err)
		}
	}
	order(t, n, `[{"mode":"fail","on":"power.set","times":1,"message":"again"}]`)
	e, ok := errors.AsType[*FaultError](d.Power.Set(ctx, node.PowerOn))
	if !ok || e.Call != "power.Set" || e.Message != "again" {
		t.Errorf("a new order: got %v, want it to count anew", e)
	}
}

func TestFaultsAreCountedByNodeAndPlace(t *testing.T) {
	ctx := t.Context()
	r, err := NewRegistry(Config{})
	if err != nil {
		t.Fatal(err)
	}
	const orders = `[{"mode":"fail","times":1,"message":"one"},{"mode":"fail","on":"deploy","message":"two"}]`
	for _, id := range []node.ID{"n1", "n2"} {
		n := &node.Node{UUID: id, Driver: FakeHardware}
		order(t, n, orders)
		c, err := r.Compose(n)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"deploy.Prepare: one", "deploy.Prepare: two", "deploy.Prepare: two"} {
			// Each call has a driver of its own, as each task has.
			if err := c.Driver(n, Open).Deploy.Prepare(ctx); err == nil || err.Error() != want {
				t.Errorf("%s call %d: got %v, want %s", id, i, err, want)
			}
		}
		if err := c.Driver(n, Open).Boot.PrepareInstance(ctx); err != nil {
			t.Errorf("%s: another interface fails: %v", id, err)
		}
	}
}

func TestFailOfAStep(t *testing.T) {
	n, d := fakes(t, Config{})
	order(t, n, `[{"mode":"fail","on":"deploy.deploy"}]`)
	if _, err := d.RunStep(t.Context(), deployStep()); !errors.Is(err, ErrFault) {
		t.Errorf("got %v, want %v", err, ErrFault)
	}
}

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := fakes(t, Config{})
		order(t, n, `[{"mode":"hang","on":"power","times":1}]`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := d.Power.Set(ctx, node.PowerOn)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v, want it to hang for a minute", err, time.Since(start))
		}
		if n.PowerState != "" {
			t.Errorf("power state %q, want it untouched", n.PowerState)
		}
		if err := d.Power.Set(t.Context(), node.PowerOn); err != nil {
			t.Errorf("used up: got %v", err)
		}
	})
}

func TestFlap(t *testing.T) {
	n, d := fakes(t, Config{})
	n.PowerState = node.PowerOn
	order(t, n, `[{"mode":"flap","times":4}]`)
	var got []string
	for range 6 {
		s, err := d.Power.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(string(s), "power "))
	}
	if got, want := strings.Join(got, " "), "off on off on on on"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n.PowerState != node.PowerOn {
		t.Errorf("record %q, want it untouched", n.PowerState)
	}
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, d := fakes(t, Config{})
		order(t, n, `[{"mode":"late","on":"power.Set","after":"5s"}]`)
		start := time.Now()
		if err := d.Power.Set(t.Context(), node.PowerOn); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v, want success after 5s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Power.Set(ctx, node.PowerOff); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want no answer in time", err)
		}
		if n.PowerState != node.PowerOff {
			t.Errorf("power state %q: a lost answer must not be a lost request", n.PowerState)
		}
	})
}

func TestOrdersThatCannotBeRead(t *testing.T) {
	for _, orders := range []string{
		`"fail"`, `{}`, `[{}]`, `[{"mode":"explode"}]`, `[{"mode":"fail","times":-1}]`, `[{"mode":"fail","times":"two"}]`,
		`[{"mode":"late"}]`, `[{"mode":"late","after":5}]`, `[{"mode":"late","after":"-5s"}]`,
		`[{"mode":"flap","on":"deploy"}]`, `[{"mode":"fail","where":"power"}]`,
	} {
		n, d := fakes(t, Config{})
		order(t, n, orders)
		err := d.Power.Validate(t.Context())
		if !errors.Is(err, ErrInvalidParameter) || !strings.HasPrefix(err.Error(), "driver_info fake_faults: ") {
			t.Errorf("%s: got %v, want it to be refused", orders, err)
		}
	}
}
