package hardware

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

var errRefused = errors.New("lock lost")

// refuser is a gate that lets nothing pass and writes down what asked.
type refuser struct{ calls []Call }

func (r *refuser) gate(_ context.Context, c Call) (context.Context, func(error), error) {
	r.calls = append(r.calls, c)
	return nil, nil, errRefused
}

// boundMethods calls f with every method of every field of a Reader or Driver.
func boundMethods(t *testing.T, v any, f func(field reflect.StructField, m reflect.Method, bound reflect.Value)) {
	t.Helper()
	s := reflect.ValueOf(v).Elem()
	var fields int
	for i := range s.NumField() {
		field := s.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		fields++
		for j := range s.Field(i).NumMethod() {
			f(field, s.Field(i).Type().Method(j), s.Field(i).Method(j))
		}
	}
	if want := len(Interfaces()); fields != want {
		t.Errorf("%T has %d interfaces, want %d", v, fields, want)
	}
}

// zeroArgs returns ctx and zeroes for a bound method.
func zeroArgs(ctx context.Context, bound reflect.Value) []reflect.Value {
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < bound.Type().NumIn(); i++ {
		args = append(args, reflect.Zero(bound.Type().In(i)))
	}
	return args
}

func lastError(results []reflect.Value) error {
	err, _ := results[len(results)-1].Interface().(error)
	return err
}

// The implementations here are nil, so a method that reached one without or
// before passing the gate would panic.
func TestNoBoundMethodSkipsTheGate(t *testing.T) {
	n := &node.Node{UUID: "n1"}
	for _, whole := range []bool{false, true} {
		var r refuser
		var v any = new(Composition).Reader(n, r.gate)
		if whole {
			v = new(Composition).Driver(n, r.gate)
		}
		var methods int
		boundMethods(t, v, func(field reflect.StructField, m reflect.Method, bound reflect.Value) {
			methods++
			r.calls = nil
			err := lastError(bound.Call(zeroArgs(t.Context(), bound)))
			if !errors.Is(err, errRefused) {
				t.Errorf("%T.%s.%s: got %v, want the gate's refusal", v, field.Name, m.Name, err)
			}
			var reads bool
			if readerField, ok := reflect.TypeFor[Reader]().FieldByName(field.Name); ok {
				_, reads = readerField.Type.MethodByName(m.Name)
			}
			want := Call{Node: "n1", Interface: strings.ToLower(field.Name), Method: m.Name, Writes: !reads}
			if len(r.calls) != 1 || r.calls[0] != want {
				t.Errorf("%T.%s.%s: the gate saw %+v, want %+v once", v, field.Name, m.Name, r.calls, want)
			}
			for i := range m.Type.NumIn() {
				if in := m.Type.In(i); in == reflect.TypeFor[*node.Node]() || in == reflect.TypeFor[node.ID]() {
					t.Errorf("%T.%s.%s takes a node", v, field.Name, m.Name)
				}
			}
		})
		if methods < 30 {
			t.Errorf("%T: only %d methods found", v, methods)
		}
	}
}

// The methods of Reader and Driver themselves are few enough to be listed; a
// new one has to be added here, with a look at its way through the gate.
func TestMethodsOfReaderAndDriver(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[*Reader](): "Steps ValidateAll",
		reflect.TypeFor[*Driver](): "RunStep Steps",
	} {
		var got []string
		for i := range typ.NumMethod() {
			got = append(got, typ.Method(i).Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v has %v, want %s", typ, got, want)
		}
	}
	r := new(refuser)
	n := &node.Node{UUID: "n1", Driver: FakeHardware}
	c := compose(t, Config{}, n)
	for name, err := range map[string]error{
		"Reader.Steps":   second(c.Reader(n, r.gate).Steps(t.Context(), CleanStep)),
		"Driver.Steps":   second(c.Driver(n, r.gate).Steps(t.Context(), CleanStep)),
		"Driver.RunStep": second(c.Driver(n, r.gate).RunStep(t.Context(), deployStep())),
	} {
		if !errors.Is(err, errRefused) {
			t.Errorf("%s: got %v, want the gate's refusal", name, err)
		}
	}
	for _, v := range c.Reader(n, r.gate).ValidateAll(t.Context()) {
		if !errors.Is(v.Err, errRefused) {
			t.Errorf("validate %s: got %v, want the gate's refusal", v.Interface, v.Err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestReaderAndDriverCannotBeConverted(t *testing.T) {
	r, d := reflect.TypeFor[Reader](), reflect.TypeFor[Driver]()
	if r.ConvertibleTo(d) || d.ConvertibleTo(r) {
		t.Error("a Reader converts to a Driver or the other way round")
	}
}

func TestNilGateRefuses(t *testing.T) {
	n := &node.Node{UUID: "n1", Driver: FakeHardware}
	c := compose(t, Config{}, n)
	if err := c.Driver(n, nil).Power.Set(t.Context(), node.PowerOn); !errors.Is(err, ErrNoGate) {
		t.Errorf("nil gate: got %v, want %v", err, ErrNoGate)
	}
	if err := new(Driver).Power.Set(t.Context(), node.PowerOn); !errors.Is(err, ErrNoGate) {
		t.Errorf("zero driver: got %v, want %v", err, ErrNoGate)
	}
	if _, err := new(Reader).Power.Get(t.Context()); !errors.Is(err, ErrNoGate) {
		t.Errorf("zero reader: got %v, want %v", err, ErrNoGate)
	}
	if n.PowerState != "" {
		t.Errorf("power state %q was set", n.PowerState)
	}
}

// probe is a power implementation that shows what it is given.
type probe struct {
	fakePower
	set func(ctx context.Context) error
}

func (p probe) Set(ctx context.Context, _ *node.Node, _ node.PowerState) error { return p.set(ctx) }

func TestGateBoundsAndHears(t *testing.T) {
	var told []error
	broken := errors.New("broken")
	deadline := time.Now().Add(time.Hour)
	g := func(ctx context.Context, _ Call) (context.Context, func(error), error) {
		ctx, cancel := context.WithDeadline(WithActor(ctx, Actor{Conductor: "c1", Token: 7}), deadline)
		return ctx, func(err error) { cancel(); told = append(told, err) }, nil
	}
	p := probe{set: func(ctx context.Context) error {
		if d, _ := ctx.Deadline(); !d.Equal(deadline) {
			t.Errorf("deadline %v, want the gate's", d)
		}
		if a := ActorFrom(ctx); a.Token != 7 || a.Conductor != "c1" {
			t.Errorf("actor %+v, want the gate's", a)
		}
		return broken
	}}
	d := (&Composition{parts: parts{power: p}}).Driver(&node.Node{UUID: "n1"}, g)
	if err := d.Power.Set(t.Context(), node.PowerOn); err != broken {
		t.Errorf("got %v, want %v as it is", err, broken)
	}
	if len(told) != 1 || told[0] != broken {
		t.Errorf("the gate was told %v, want %v once", told, broken)
	}
}

func TestGateHearsOfPanics(t *testing.T) {
	var told []error
	g := func(ctx context.Context, _ Call) (context.Context, func(error), error) {
		return ctx, func(err error) { told = append(told, err) }, nil
	}
	p := probe{set: func(context.Context) error { panic("boom") }}
	d := (&Composition{parts: parts{power: p}}).Driver(&node.Node{UUID: "n1"}, g)
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("recovered %v, want boom", got)
		}
		if len(told) != 1 || told[0] == nil {
			t.Errorf("the gate was told %v, want one error", told)
		}
	}()
	_ = d.Power.Set(t.Context(), node.PowerOn)
}

func TestDeadContextStopsAtTheGate(t *testing.T) {
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	p := probe{set: func(context.Context) error { t.Error("reached the machine"); return nil }}
	d := (&Composition{parts: parts{power: p}}).Driver(&node.Node{UUID: "n1"}, Open)
	if err := d.Power.Set(ctx, node.PowerOn); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}
