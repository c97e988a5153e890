package hardware

import (
	"context"
	"fmt"

	"github.com/conductor-metal/conductor/pkg/node"
)

// fakeVendor is what Ironic calls FakeVendorB.
type fakeVendor struct{ *fake }

// fakeVendorBars is the value of bar for which a method returns true.
var fakeVendorBars = map[string]string{
	"second_method":             "kazoo",
	"third_method_sync":         "meow",
	"fourth_method_shared_lock": "woof",
}

const logPassthrough = "log_passthrough"

func fakeVendorMethods() []VendorMethod {
	post := []string{"POST"}
	return []VendorMethod{
		{Name: "fourth_method_shared_lock", HTTPMethods: post, Async: true, Description: "Tells whether bar is woof."},
		{Name: logPassthrough, HTTPMethods: post, Async: true, Exclusive: true, Description: "Takes time and does nothing."},
		{Name: "second_method", HTTPMethods: post, Async: true, Exclusive: true, Description: "Tells whether bar is kazoo."},
		{Name: "third_method_sync", HTTPMethods: post, Exclusive: true, Description: "Tells whether bar is meow."},
	}
}

func (v fakeVendor) Properties() map[string]string {
	return map[string]string{"B1": "Nothing reads it. Required.", "B2": "Nothing reads it. Required."}
}

func (v fakeVendor) Validate(ctx context.Context, n *node.Node, c VendorCall) error {
	m, err := FindVendorMethod(fakeVendorMethods(), c)
	if err != nil {
		return err
	}
	bar, _ := c.Args["bar"].(string)
	if _, needs := fakeVendorBars[m.Name]; needs && bar == "" {
		return fmt.Errorf("%w: %s needs bar", ErrMissingParameter, c.Method)
	}
	return v.glance(ctx, n, InterfaceVendor, "Validate")
}

func (v fakeVendor) Methods(ctx context.Context, n *node.Node) ([]VendorMethod, error) {
	return fakeVendorMethods(), v.glance(ctx, n, InterfaceVendor, "Methods")
}

func (v fakeVendor) Query(ctx context.Context, n *node.Node, c VendorCall) (any, error) {
	m, err := FindVendorMethod(fakeVendorMethods(), c)
	if err != nil {
		return nil, err
	}
	if m.Exclusive {
		return nil, fmt.Errorf("vendor method %s %w", c.Method, ErrExclusive)
	}
	return v.run(ctx, n, c, m)
}

func (v fakeVendor) Call(ctx context.Context, n *node.Node, c VendorCall) (any, error) {
	m, err := FindVendorMethod(fakeVendorMethods(), c)
	if err != nil {
		return nil, err
	}
	return v.run(ctx, n, c, m)
}

func (v fakeVendor) run(ctx context.Context, n *node.Node, c VendorCall, m VendorMethod) (any, error) {
	err := v.do(ctx, n, fakeCall{Call: Call{Interface: InterfaceVendor, Method: m.Name, Writes: m.Exclusive}})
	want, tells := fakeVendorBars[m.Name]
	if err != nil || !tells {
		return nil, err
	}
	return c.Args["bar"] == want, nil
}

func (v fakeVendor) offers() []offer {
	return []offer{
		{Step: Step{Interface: InterfaceVendor, Name: logPassthrough, Priority: 1, Kind: CleanStep, Abortable: true, Rerunnable: true}},
		{Step: Step{Interface: InterfaceVendor, Name: logPassthrough, Kind: ServiceStep, Abortable: true, Rerunnable: true}},
		{Step: Step{Interface: InterfaceVendor, Name: "trigger_servicewait", Kind: ServiceStep, Abortable: true, Rerunnable: true}, waits: true},
	}
}

func (v fakeVendor) Steps(_ context.Context, _ *node.Node, kind StepKind) ([]Step, error) {
	return offered(v.offers(), kind), nil
}

func (v fakeVendor) RunStep(ctx context.Context, n *node.Node, s Step) (Outcome, error) {
	return v.runOffer(ctx, n, v.offers(), s)
}
