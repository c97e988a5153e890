package hardware

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/conductor-metal/conductor/pkg/node"
)

// Each call of a fake that can be left to the machine is, when it is told to be,
// and only then.
func TestWaits(t *testing.T) {
	n, d := fakes(t, Config{})
	seen := map[string]bool{}
	boundMethods(t, d, func(field reflect.StructField, m reflect.Method, bound reflect.Value) {
		if field.Name == "Network" || bound.Type().NumOut() != 2 || bound.Type().Out(0) != reflect.TypeFor[Outcome]() {
			return
		}
		call := strings.ToLower(field.Name) + "." + m.Name
		for _, tt := range []struct {
			order any
			want  Outcome
		}{{nil, Done}, {[]any{"power.Get", strings.ToUpper(call)}, Waiting}, {[]string{call + "s"}, Done}} {
			n.DriverInfo = node.Object{WaitsKey: tt.order}
			out := bound.Call(goodArgs(t.Context(), m.Name, bound))
			if err := lastError(out); err != nil || out[0].Interface() != tt.want {
				t.Errorf("%s with %v: %v, %v, want %v", call, tt.order, out[0], err, tt.want)
			}
		}
		seen[call] = true
	})
	for _, call := range []string{"deploy.PrepareCleaning", "deploy.Heartbeat", "inspect.Inspect", "rescue.Rescue", "deploy.TearDown"} {
		if !seen[call] {
			t.Errorf("%s was not tried", call)
		}
	}
	n.DriverInfo = node.Object{WaitsKey: []any{"deploy.deploy"}}
	if got, err := d.RunStep(t.Context(), deployStep()); got != Waiting || err != nil {
		t.Errorf("a step: %v, %v", got, err)
	}
	n.DriverInfo[FaultKey] = []any{map[string]any{"mode": "fail"}}
	if got, err := d.RunStep(t.Context(), deployStep()); got != Done || !errors.Is(err, ErrFault) {
		t.Errorf("a step that fails: %v, %v", got, err)
	}
}

func TestWaitsThatCannotBeRead(t *testing.T) {
	n, d := fakes(t, Config{})
	for _, order := range []any{"deploy.deploy", []any{1}, []any{"deploy"}, map[string]any{}} {
		n.DriverInfo = node.Object{WaitsKey: order}
		if err := d.Power.Validate(t.Context()); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), WaitsKey) {
			t.Errorf("%v: %v", order, err)
		}
	}
}

// An inspection can be aborted when it waits.
func TestAbortOfAnInspection(t *testing.T) {
	n, d := fakes(t, Config{})
	abort := func(ctx context.Context) error { return d.Inspect.Abort(ctx) }
	if err := abort(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("nothing waits: %v", err)
	}
	n.DriverInfo = node.Object{WaitsKey: []any{"inspect.Inspect"}}
	if err := abort(t.Context()); err != nil {
		t.Errorf("it waits: %v", err)
	}
}
