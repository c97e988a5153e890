package hardware

import (
	"context"
	"fmt"
	"maps"
	"path"
	"time"

	"github.com/conductor-metal/conductor/pkg/node"
)

// FirmwareKey is the key in driver_internal_info under which a firmware
// implementation keeps what Cache and Update found, as an object of components
// by name, with initial_version, current_version, last_version_flashed,
// created_at and updated_at. Ironic has a table of its own for them.
const FirmwareKey = "firmware_components"

// fakeFirmware has the components bios and bmc, and the version that the name
// of an image's file says.
type fakeFirmware struct{ *fake }

func (f fakeFirmware) Validate(ctx context.Context, n *node.Node) error {
	return f.glance(ctx, n, InterfaceFirmware, "Validate")
}

func (f fakeFirmware) Update(ctx context.Context, n *node.Node, updates []FirmwareUpdate) (Outcome, error) {
	return outcome(n, InterfaceFirmware, "Update", f.do(ctx, n, fakeCall{
		Call: Call{Interface: InterfaceFirmware, Method: "Update", Writes: true},
		act:  func() { flash(n, updates) },
	}))
}

func (f fakeFirmware) Cache(ctx context.Context, n *node.Node) error {
	return f.do(ctx, n, fakeCall{
		Call: Call{Interface: InterfaceFirmware, Method: "Cache", Writes: true},
		act:  func() { flash(n, nil) },
	})
}

// fakeVersion is what the components leave the works with.
const fakeVersion = "1.0.0"

// flash brings what is kept of the components up to date.
func flash(n *node.Node, updates []FirmwareUpdate) {
	info := maps.Clone(n.DriverInternalInfo)
	if info == nil {
		info = node.Object{}
	}
	all := setup(info).object(FirmwareKey).clone()
	now := time.Now().UTC().Format(time.RFC3339)
	for _, name := range []string{"bios", "bmc"} {
		if all.object(name) == nil {
			all[name] = map[string]any{"initial_version": fakeVersion, "current_version": fakeVersion, "created_at": now}
		}
	}
	for _, u := range updates {
		c := all.object(u.Component).clone()
		version := path.Base(u.URL)
		c["current_version"], c["last_version_flashed"], c["updated_at"] = version, version, now
		all[u.Component] = map[string]any(c)
	}
	info[FirmwareKey] = map[string]any(all)
	n.DriverInternalInfo = info
}

func (f fakeFirmware) offers() []offer {
	return []offer{{
		Step: Step{
			Interface: InterfaceFirmware, Name: "update", Kind: CleanStep, // not to be flashed once more unseen
			ArgsInfo: map[string]ArgInfo{
				"settings": {Description: "A list of objects, each with the component and the url of a firmware.", Required: true},
			},
		},
		check: func(args map[string]any) error {
			_, err := firmwareUpdates(args["settings"])
			return err
		},
		act: func(n *node.Node, args map[string]any) {
			updates, _ := firmwareUpdates(args["settings"])
			flash(n, updates)
		},
	}}
}

// firmwareUpdates reads the argument of the step update.
func firmwareUpdates(value any) ([]FirmwareUpdate, error) {
	items, ok := value.([]any)
	if !ok || len(items) == 0 {
		return nil, fmt.Errorf("%w: settings must be a list of at least one firmware", ErrInvalidParameter)
	}
	var all []FirmwareUpdate
	for _, item := range items {
		var o node.Object
		switch item := item.(type) {
		case map[string]any:
			o = item
		case node.Object:
			o = item
		}
		u := FirmwareUpdate{Component: o.Text("component"), URL: o.Text("url")}
		switch {
		case u.URL == "":
			return nil, fmt.Errorf("%w: a firmware needs a component and a url", ErrInvalidParameter)
		case u.Component != "bios" && u.Component != "bmc":
			return nil, fmt.Errorf("%w: firmware component %q, supported: bios, bmc", ErrInvalidParameter, u.Component)
		}
		all = append(all, u)
	}
	return all, nil
}

func (f fakeFirmware) Steps(_ context.Context, _ *node.Node, kind StepKind) ([]Step, error) {
	return offered(f.offers(), kind), nil
}

func (f fakeFirmware) RunStep(ctx context.Context, n *node.Node, s Step) (Outcome, error) {
	return f.runOffer(ctx, n, f.offers(), s)
}
